"""The checks before training: parameters as on the cards, rows as inference sends them, and no
silent loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")


from finops_cli.datasets.rows import Row, triage_row
from finops_cli.datasets.scratchpad.auxiliary_tasks import AuxiliaryTask, Piece
from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.rows import sentiment_row
from finops_cli.datasets.writer import DatasetOptions
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.answer_eval import spread_indexes
from finops_cli.training.data.lengths import count_packed_blocks, render_prompt
from finops_cli.training.data.row_checks import (
    IGNORED,
    Encoded,
    RowFault,
    check_packing,
    check_tokenizer,
    describe_row_faults,
    encode,
)
from finops_cli.training.data.sources import RowSources, stream_rows
from finops_cli.training.data.tokenizer import digest_tokenizer, learn_tokenizer
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.loss_curve import draw_curves
from finops_cli.training.planning.memory import estimate_memory
from finops_cli.training.planning.parameter_counts import count_parameters
from finops_cli.training.run_record import EvaluationPoint, LossPoint, TrainingResult
from tests.support.training_runs import training_request

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def make_sources(stage: StageName, kb: KnowledgeBase) -> RowSources:
    data = training_request(stage, None, []).resolved.settings.data
    return stream_rows(
        DatasetOptions(stage=stage, rows=0, seed=7, profile="coverage", kb_dir=bundled_kb_dir()),
        kb,
        (20, 5),
        data,
    )


def texts_of(rows: list[Row]) -> list[str]:
    return [message.content for row in rows for message in (*row.prompt, *row.completion)]


@pytest.fixture(scope="module")
def tokenizer(kb: KnowledgeBase) -> Any:
    """A vocabulary of both stages, with the template of the tiny models."""
    rows = [*make_sources("triage", kb).train, *make_sources("resolver", kb).train]
    return learn_tokenizer(texts_of(rows), 600)


@pytest.fixture
def row(kb: KnowledgeBase) -> Row:
    return triage_row(0, 7, kb, "coverage")


MISTRAL = ["base.shape=mistral-7b"]


@pytest.mark.parametrize(
    ("stage", "flags", "total", "trainable", "touched"),
    [
        ("triage", [], 8_953_803_264, 3_932_160, 8),
        ("resolver", [], 8_190_735_360, 43_646_976, 36),
        ("sentiment", [], 8_190_735_360, 15_335_424, 36),
        ("sentiment", MISTRAL, 7_248_023_552, 13_631_488, 32),
        ("sentiment", [*MISTRAL, "adapter.targets=[q_proj]"], 7_248_023_552, 4_194_304, 32),
    ],
)
def test_parameter_counts_equal_the_cards(
    stage: StageName, flags: list[str], total: int, trainable: int, touched: int
) -> None:
    """The trainable parameters are 3,932,160 on card 1, 43.6 million on card 2, and near the 4
    million of card 3 with q_proj alone.
    """
    counts = count_parameters(training_request(stage, None, flags).resolved.settings, None)
    assert counts is not None
    assert (counts.total, counts.trainable, counts.touched_layers) == (total, trainable, touched)


def test_memory_estimate_follows_quantization_and_batch() -> None:
    """The weights of the resolver's base take 6.1 GB in 4 bits and 16.4 GB in bf16, and a smaller
    batch takes less.
    """
    four_bit, half = (
        training_request("resolver", None, [f"base.quantization={kind}"]).resolved.settings
        for kind in ("nf4", "none")
    )
    counts = count_parameters(four_bit, None)
    assert counts is not None
    assert round(estimate_memory(four_bit, counts, 5120).weights / 1e9, 1) == 6.1
    assert round(estimate_memory(half, counts, 5120).weights / 1e9, 1) == 16.4
    smaller = training_request("resolver", "16gb", []).resolved.settings
    assert estimate_memory(smaller, counts, 5120).total < min(
        16e9, estimate_memory(four_bit, counts, 5120).total
    )


def test_unknown_adapter_target_is_refused_with_the_known() -> None:
    """An adapter target that the base does not have raises UsageError with the known targets."""
    with pytest.raises(UsageError, match=r"no query. Expected some of: .*q_proj"):
        count_parameters(
            training_request("resolver", None, ["adapter.targets=[query]"]).resolved.settings, None
        )


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("stage", ["triage", "resolver"])
def test_encoded_row_trains_the_answer_and_its_end_only(
    stage: StageName, index: int, tokenizer: Any, kb: KnowledgeBase
) -> None:
    """The prompt is what inference sends and has no labels. The labels are the answer and its end
    token.
    """
    row = make_sources(stage, kb).train.at(index)
    found = encode(row, tokenizer, 10_000)
    assert isinstance(found, Encoded)
    asked_tokens = [
        token
        for token, label in zip(found.input_ids, found.labels, strict=True)
        if label == IGNORED
    ]
    trained = [label for label in found.labels if label != IGNORED]
    assert tokenizer.decode(asked_tokens) == render_prompt(row)
    assert tokenizer.decode(trained) == f"{row.completion[0].content}<|im_end|>\n"


def test_learned_tokenizer_is_deterministic_with_digits(tokenizer: Any, kb: KnowledgeBase) -> None:
    """Equal rows give an equal tokenizer. Each digit is a token, and any text is decoded
    unchanged.
    """
    rows = [*make_sources("triage", kb).train, *make_sources("resolver", kb).train]
    assert digest_tokenizer(learn_tokenizer(texts_of(rows), 600)) == digest_tokenizer(tokenizer)
    assert digest_tokenizer(learn_tokenizer(texts_of(rows[1:]), 600)) != digest_tokenizer(tokenizer)
    assert [tokenizer.decode([token]) for token in tokenizer("1234567.89").input_ids] == list(
        "1234567.89"
    )
    assert len(tokenizer) == 605
    for text in ("naïve café 中文\t\r\n  two", '{"a":[1,2]}', "<think>\n\n</think>"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def with_template(tokenizer: Any, old: str, new: str) -> Any:
    """Return the tokenizer with a changed chat template."""
    from copy import deepcopy

    other = deepcopy(tokenizer)
    assert old in other.chat_template
    other.chat_template = other.chat_template.replace(old, new)
    return other


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("prompt", "enable_thinking is defined and enable_thinking is false", "false"),
        ("prompt", "m.role + '\\n'", "m.role + ':'"),
        ("prefix", "m.role == 'assistant' and", "m.role == 'nobody' and"),
        (
            "answer",
            "m.content + '<|im_end|>\\n'",
            "(m.content|upper if m.role == 'assistant' else m.content) + '<|im_end|>\\n'",
        ),
        (
            "eos",
            "m.content + '<|im_end|>\\n'",
            "m.content + ('\\n' if m.role == 'assistant' else '<|im_end|>\\n')",
        ),
    ],
)
def test_chat_template_that_changes_prompt_or_answer_is_found(
    kind: str, old: str, new: str, tokenizer: Any, row: Row
) -> None:
    """A chat template with another prompt, a prompt that depends on the answer, a changed answer or
    no end is a fault.
    """
    found = encode(row, with_template(tokenizer, old, new), 10_000)
    assert isinstance(found, RowFault)
    assert found.kind == kind


def test_sentiment_row_works_with_a_mistral_template(tokenizer: Any) -> None:
    """A sentiment row is encoded with a template without a system turn and with its own
    end token.
    """
    from copy import deepcopy

    other = deepcopy(tokenizer)
    other.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    other.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content +"
        " '[/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
    )
    row = sentiment_row("S", Sentence("Profit rose.", "positive", "phrasebank", ""))
    found = encode(row, other, 200)
    assert isinstance(found, Encoded)
    assert other.decode([label for label in found.labels if label != IGNORED]) == " positive</s>"
    assert other.decode(found.input_ids).endswith("Profit rose.[/INST] positive</s>")


def test_row_longer_than_max_length_is_a_fault(tokenizer: Any, row: Row) -> None:
    """A row over `training.max_length` is a fault with its length, because TRL would cut
    its end.
    """
    fitting = encode(row, tokenizer, 10_000)
    assert isinstance(fitting, Encoded)
    length = len(fitting.input_ids)
    assert encode(row, tokenizer, length) == fitting
    found = encode(row, tokenizer, length - 1)
    assert isinstance(found, RowFault)
    [message] = describe_row_faults([found, found])
    assert message.startswith(
        f"2 rows, the first {row.id}: {length:,} tokens; training.max_length is {length - 1:,}"
    )


def test_auxiliary_task_trains_only_its_learned_pieces(tokenizer: Any) -> None:
    """Only the learned pieces of an auxiliary task have labels, and a task without any is
    a fault.
    """
    pieces = (Piece("12+34=", learned=False), Piece("46<|im_end|>", learned=True))
    found = encode(AuxiliaryTask("D-1", pieces), tokenizer, 100)
    assert isinstance(found, Encoded)
    assert [tokenizer.decode([token]) for token in found.input_ids] == [
        "1",
        "2",
        "+",
        "3",
        "4",
        "=",
        "4",
        "6",
        "<|im_end|>",
    ]
    assert found.labels == [IGNORED] * 6 + found.input_ids[6:]
    idle = encode(AuxiliaryTask("D-2", pieces[:1]), tokenizer, 100)
    assert isinstance(idle, RowFault)
    assert idle.kind == "drill"


def test_padding_token_equal_to_the_end_token_is_found(tokenizer: Any) -> None:
    """A padding token that also ends answers is found, because masking it would leave answers
    without an end.
    """
    from copy import deepcopy

    other = deepcopy(tokenizer)
    assert check_tokenizer(other) == []
    other.pad_token = other.eos_token
    assert "base.pad_token" in check_tokenizer(other)[0]
    other.pad_token, other.chat_template = None, None
    assert len(check_tokenizer(other)) == 2


def test_packing_with_linear_attention_needs_its_kernels() -> None:
    """Packing is refused for linear attention without its kernels, because state would leak from
    row to row.
    """
    message = check_packing(linear_attention=True, packing=True, trainer="hf")
    assert message is not None
    assert "causal_conv1d" in message
    assert check_packing(linear_attention=False, packing=True, trainer="hf") is None
    assert check_packing(linear_attention=True, packing=False, trainer="hf") is None


@pytest.mark.parametrize("room", [40, 64, 100, 333])
def test_packed_block_count_equals_trl(room: int) -> None:
    """finops counts as many packed blocks as TRL makes."""
    from random import Random

    from datasets import Dataset
    from trl import pack_dataset

    lengths = [Random(room).randint(1, 40) for _ in range(1)] + [
        Random(place).randint(1, 40) for place in range(300)
    ]
    packed = pack_dataset(
        Dataset.from_dict({"input_ids": [[1] * length for length in lengths]}), room, "bfd"
    )
    assert count_packed_blocks(lengths, room) == len(packed)


def test_sample_indexes_are_spread_over_the_rows() -> None:
    """Sampled rows are spread evenly over all rows, or are all of them."""
    assert spread_indexes(10, 3) == [0, 3, 6]
    assert spread_indexes(2, 64) == [0, 1]


def test_loss_picture_is_identical_each_time(tmp_path: Path) -> None:
    """The loss picture is a PNG without a date, with the same bytes each time."""
    losses = [LossPoint(step, 3 / step, 1e-3, 1.0) for step in range(1, 40, 4)]
    evaluations = [
        EvaluationPoint(
            step=step, loss=3 / step, asked=8, valid=step // 5, exact=step // 8, decided=step // 6
        )
        for step in (10, 20, 40)
    ]
    result = TrainingResult(
        steps=40,
        epochs=1.0,
        tokens=1000,
        parameters=10,
        trained_parameters=10,
        train_loss=0.5,
        losses=losses,
        evaluations=evaluations,
        best_step=40,
        artefacts={},
    )
    for name in ("one.png", "two.png"):
        draw_curves(result, "triage", "tier", tmp_path / name)
    one = (tmp_path / "one.png").read_bytes()
    assert one == (tmp_path / "two.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert b"Software" not in one
