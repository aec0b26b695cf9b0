"""Training of the tiny models: scratchpad examples, batches by tokens, the Muon optimizer and the
initial weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")

import torch

from finops_cli.datasets.scratchpad.auxiliary_tasks import AuxiliaryTask
from finops_cli.datasets.splits import content_key, split_of
from finops_cli.datasets.stages import grade
from finops_cli.datasets.writer import DatasetOptions
from finops_cli.domain import exact_json
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import triage_prompt
from finops_cli.rules.triage import triage
from finops_cli.training.base_model import open_base
from finops_cli.training.data.batching import TokenBatches, collate, cut_into_batches, weight_at
from finops_cli.training.data.row_checks import IGNORED, Encoded, RowFault, encode
from finops_cli.training.data.sources import RowSources, stream_rows
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.muon import Muon, make_muon
from finops_cli.training.planning.inspect import inspect_request
from finops_cli.verify.codecs import FAIL
from tests.support.cures import cured_by
from tests.support.training_runs import (
    SCRATCHPAD,
    Stopped,
    files,
    run_training,
    stop_at,
    training_request,
)

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def scratchpad_sources(kb: KnowledgeBase, *flags: str) -> RowSources:
    data = training_request("triage", "tiny-cpu", flags).resolved.settings.data
    return stream_rows(
        DatasetOptions(
            stage="triage", rows=0, seed=data.seed, profile=data.profile, kb_dir=bundled_kb_dir()
        ),
        kb,
        (40, 10),
        data,
    )


def test_input_too_large_for_the_scratchpad_has_a_fix(
    kb: KnowledgeBase,
) -> None:
    """An input that the scratchpad format cannot express raises UsageError with its number and a
    fix.
    """
    data = training_request("resolver", "tiny-cpu", ("data.max_ftrs=60",)).resolved.settings.data
    rows = stream_rows(
        DatasetOptions(
            stage="resolver", rows=0, seed=data.seed, profile=data.profile, kb_dir=bundled_kb_dir()
        ),
        kb,
        (200, 10),
        data,
    ).train
    with pytest.raises(
        UsageError,
        match=r"data\.format=scratchpad cannot word example [0-9]+: .+",
        check=cured_by(r"lower data\.max_ftrs"),
    ):
        list(rows)


def test_scratchpad_row_has_tiny_prompt_and_engine_answer(
    kb: KnowledgeBase,
) -> None:
    """A scratchpad row has the prompt of the tiny model's Modelfile, the scratchpad and the
    engine's answer, in its own split.
    """
    for rows in scratchpad_sources(kb):
        for row in rows:
            record = FAIL.read(exact_json.decode(row.record))
            assert record is not None
            prompt = triage_prompt(record, "tiny-triage")
            assert [message.content for message in row.prompt] == [prompt.system, prompt.user]
            assert prompt.thinks
            assert row.chat_template_kwargs.enable_thinking
            reasoning, answer = (
                row.completion[0].content.removeprefix("<think>\n").split("\n</think>\n\n")
            )
            assert reasoning.startswith(f"qty {record.qty} of ")
            assert answer == exact_json.encode(triage(record, kb)).decode()
            assert grade(row, row.completion[0].content, kb) == (True, True, True)
            assert (
                split_of(content_key(record), kb.datasets.eval_every)
                == row.split
                == rows.note.split
            )


def test_auxiliary_tasks_contain_no_training_answer(kb: KnowledgeBase) -> None:
    """Auxiliary tasks use other combinations of numbers than the answers of the training rows."""
    sets = scratchpad_sources(kb)
    drills = [sets.train.kinds["scratchpad"](index) for index in range(20)]
    assert all(
        isinstance(drill, AuxiliaryTask) and drill.pieces[0].text.startswith("<think>\n")
        for drill in drills
    )
    answers = "".join(row.completion[0].content for row in sets.train)
    assert not [
        drill
        for drill in drills
        if isinstance(drill, AuxiliaryTask)
        and drill.pieces[0].text.removeprefix("<think>\n") in answers
    ]


def test_unknown_kind_in_a_data_mix_is_refused(kb: KnowledgeBase) -> None:
    """A kind of example that the format does not have raises UsageError with the known kinds."""
    with pytest.raises(
        UsageError,
        match=r"data\.mix has no kind sums. Expected one of: answers, market, copying, scratchpad",
    ):
        scratchpad_sources(kb, "data.mix={sums: [[0, 1]]}")
    with pytest.raises(UsageError, match=r"data\.format=card needs data.modelfile=triage"):
        next(iter(scratchpad_sources(kb, "data.format=card", "data.mix=null").train))


def test_inspection_checks_examples_of_every_kind() -> None:
    """The inspection counts the examples of every kind in a mix that exceed the maximum length."""
    request = training_request("triage", "tiny-cpu", ("training.max_length=100",))
    found = inspect_request(request)
    kinds = [maker for kind, maker in found.sources.train.kinds.items() if kind != "answers"]
    faults = [
        isinstance(encode(maker(place), found.tokenizer, 100), RowFault)
        for maker in kinds
        for place in range(20)
    ]
    assert 0 < sum(faults) <= len(faults) == 60
    assert f"{264 + sum(faults)} rows, the first" in found.blockers[0]


def row(name: int, length: int) -> Encoded:
    return Encoded([name] * length, [name] * length)


def lengths(name: int) -> Encoded:
    """Examples of 1 to 13 tokens, each with its number in its tokens."""
    return row(name, 1 + name * 7 % 13)


def test_token_batches_use_each_example_once() -> None:
    """Batches by tokens use each example once, and no batch exceeds its number of tokens."""
    made = {"even": lambda index: lengths(2 * index), "odd": lambda index: lengths(2 * index + 1)}
    batches = TokenBatches(made, {"even": [(0, 1)], "odd": [(0, 1), (1, 0)]}, 60, 300, seed=1)
    seen = [each.input_ids[0] for number in range(300) for each in batches[number]]
    assert len(seen) == len(set(seen))
    assert all(
        len(batch) * max(len(each.input_ids) for each in batch) <= 60
        for batch in (batches[number] for number in range(300))
    )
    for start in (0, 1):
        names = {name // 2 for name in seen if name % 2 == start}
        assert set(range(len(names) - len(names) % 128)) <= names


def test_token_batch_depends_on_its_number_only() -> None:
    """A batch depends only on its number and the seed, so a resumed training can start anywhere."""
    made = {"all": lengths}

    def fresh() -> TokenBatches:
        return TokenBatches(made, {"all": [(0, 1)]}, 30, 120, seed=3)

    one, other = fresh(), fresh()
    later = one[90]
    assert later == [other[number] for number in range(91)][90]
    assert one[5] == fresh()[5]
    assert TokenBatches(made, {"all": [(0, 1)]}, 30, 120, seed=4)[0] != fresh()[0]


def test_rows_of_similar_length_share_a_batch() -> None:
    """Rows are sorted by length before they are cut into batches."""
    assert [
        [len(each.input_ids) for each in batch]
        for batch in cut_into_batches([row(1, n) for n in (5, 1, 9, 2, 5, 40)], 12)
    ] == [[1, 2], [5, 5], [9], [40]]


def test_kind_weight_is_interpolated_linearly() -> None:
    """The weight of a kind changes linearly between its points. A batch without any weight is
    refused.
    """
    points = [(0.1, 1.0), (0.3, 0.0), (0.5, 2.0)]
    assert [weight_at(points, at) for at in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 1)] == pytest.approx(
        [1, 1, 0.5, 0, 1, 2, 2]
    )
    with pytest.raises(UsageError, match="every kind has weight 0 at batch 5 of 10"):
        TokenBatches({"all": lengths}, {"all": [(0, 1), (0.5, 0)]}, 30, 10, seed=1)


def test_padding_is_at_the_end_and_has_no_label() -> None:
    """Padding follows the tokens of a row and has no label."""
    tensors = collate([{"batch": [row(5, 1), row(6, 3)]}], padding=9)
    assert tensors["input_ids"].tolist() == [[5, 9, 9], [6, 6, 6]]
    assert tensors["labels"].tolist() == [[5, IGNORED, IGNORED], [6, 6, 6]]
    assert collate([row(5, 1)._asdict(), row(6, 3)._asdict()], 9)["input_ids"].tolist() == [
        [5, 9, 9],
        [6, 6, 6],
    ]


def test_muon_step_is_nearly_orthogonal() -> None:
    """The singular values of a Muon step are near its rate for any gradient, and larger for a tall
    matrix.
    """
    torch.manual_seed(1)
    for shape, further in (((8, 24), 1), ((24, 8), 3**0.5), ((8, 8), 1)):
        weights = torch.nn.Parameter(torch.zeros(shape))
        weights.grad = torch.randn(shape) * 100
        Muon(
            [{"params": [weights], "momentum": 0.95, "iterations": 5}],
            {"lr": 0.1, "weight_decay": 0.0},
        ).step()
        values = torch.linalg.svdvals(weights.detach()) / (0.1 * further)
        assert 0.3 < values.min() <= values.max() < 1.3


def test_muon_steps_other_weights_as_adamw() -> None:
    """Weights that are not layer matrices are stepped as by AdamW of torch."""
    torch.manual_seed(2)
    first = torch.randn(6, 5)
    ours, theirs = torch.nn.Parameter(first.clone()), torch.nn.Parameter(first.clone())
    mine = Muon([{"params": [ours], "betas": (0.9, 0.98)}], {"lr": 0.01, "weight_decay": 0.1})
    adam = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(6, 5)
        mine.step()
        adam.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_muon_optimizer_has_every_weight_once() -> None:
    """The optimizer of a recipe contains each weight of the model once."""
    request = training_request("triage", "tiny-cpu", SCRATCHPAD)
    model = open_base(request.resolved.settings, inspect_request(request).tokenizer, "hf")
    optimizer = make_muon(model.named_parameters(), request.resolved.settings.training)
    assert optimizer is not None
    matrices, others = (
        [tuple(each.shape) for each in group["params"]] for group in optimizer.param_groups
    )
    assert len(matrices) == 2 * 7
    assert len(matrices) + len(others) == len(list(model.parameters()))
    assert (405, 64) in others


def test_resumed_muon_training_gives_identical_files(tmp_path: Path) -> None:
    """A training with Muon that is interrupted and resumed gives the files of an
    uninterrupted one.
    """
    whole, interrupted = tmp_path / "whole", tmp_path / "torn"
    run_training("triage", "tiny-cpu", SCRATCHPAD, whole)
    with pytest.raises(Stopped):
        run_training("triage", "tiny-cpu", SCRATCHPAD, interrupted, watch=stop_at(6))
    seen: list[int] = []
    run_training(
        "triage", "tiny-cpu", SCRATCHPAD, interrupted, "resume", lambda now: seen.append(now.done)
    )
    assert min(seen) == 5  # otherwise it started again
    assert files(interrupted) == files(whole)
    assert json.loads((whole / "model/finops.json").read_bytes()) == {"modelfile": "tiny-triage"}
    losses = json.loads((whole / "run.json").read_bytes())["result"]["losses"]
    assert losses[-1]["loss"] < losses[0]["loss"]
