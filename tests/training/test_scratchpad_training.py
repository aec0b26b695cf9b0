"""The trainings of the tiny models: examples that are worked out, batches by tokens, Muon, and what
they begin with.
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
from tests.support.training_runs import WORKED, Stopped, files, trained, training_request, unplug_at

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def worked(kb: KnowledgeBase, *flags: str) -> RowSources:
    data = training_request("triage", "tiny-cpu", flags).resolved.settings.data
    return stream_rows(
        DatasetOptions("triage", 0, data.seed, data.profile, bundled_kb_dir()), kb, (40, 10), data
    )


def test_an_input_that_the_working_has_no_room_for_is_named_with_the_cure(
    kb: KnowledgeBase,
) -> None:
    data = training_request("resolver", "tiny-cpu", ("data.max_ftrs=60",)).resolved.settings.data
    rows = stream_rows(
        DatasetOptions("resolver", 0, data.seed, data.profile, bundled_kb_dir()),
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


def test_a_worked_row_asks_as_the_tiny_model_is_asked_and_ends_in_the_answer_of_the_rules(
    kb: KnowledgeBase,
) -> None:
    """Prompt of its own Modelfile, working, then the very JSON of the engine; the desk's judge
    finds nothing. Each split keeps to its own.
    """
    for rows in worked(kb):
        for row in rows:
            record = FAIL.read(exact_json.decode(row.record))
            assert record is not None
            asks = triage_prompt(record, "tiny-triage")
            assert [message.content for message in row.prompt] == [asks.system, asks.user]
            assert asks.thinks
            assert row.chat_template_kwargs.enable_thinking
            trace, said = (
                row.completion[0].content.removeprefix("<think>\n").split("\n</think>\n\n")
            )
            assert trace.startswith(f"qty {record.qty} of ")
            assert said == exact_json.encode(triage(record, kb)).decode()
            assert grade(row, row.completion[0].content, kb) == (True, True, True)
            assert (
                split_of(content_key(record), kb.datasets.eval_every)
                == row.split
                == rows.note.split
            )


def test_drills_show_no_record_of_the_evaluation(kb: KnowledgeBase) -> None:
    """What a drill of the working is given are the figures of a training row, in other order and
    number than in the answers.
    """
    sets = worked(kb)
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


def test_a_kind_that_a_form_has_not_is_refused(kb: KnowledgeBase) -> None:
    with pytest.raises(
        UsageError,
        match=r"data\.mix has no kind sums. Expected one of: answers, market, copying, scratchpad",
    ):
        worked(kb, "data.mix={sums: [[0, 1]]}")
    with pytest.raises(UsageError, match=r"data\.format=card needs data.modelfile=triage"):
        next(iter(worked(kb, "data.format=card", "data.mix=null").train))


def test_every_kind_of_a_mix_is_looked_at_before_a_training() -> None:
    """200 rows and 64 held-out ones are too long for 100 tokens; of each further kind 20 examples,
    of which `copying` has short ones, too.
    """
    wanted = training_request("triage", "tiny-cpu", ("training.max_length=100",))
    found = inspect_request(wanted)
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
    """Examples of 1 to 13 tokens; which one it is stands in each of them."""
    return row(name, 1 + name * 7 % 13)


def test_batches_by_tokens_lose_no_row_and_repeat_none() -> None:
    """Two kinds, three pools of 128 each at least: every example up to the last pool comes once,
    and no batch is too large.
    """
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


def test_a_batch_depends_on_its_place_alone() -> None:
    """A training that goes on asks for batch 90 first; one that is asked for an earlier batch makes
    it again.
    """
    made = {"all": lengths}

    def fresh() -> TokenBatches:
        return TokenBatches(made, {"all": [(0, 1)]}, 30, 120, seed=3)

    one, other = fresh(), fresh()
    later = one[90]
    assert later == [other[number] for number in range(91)][90]
    assert one[5] == fresh()[5]
    assert TokenBatches(made, {"all": [(0, 1)]}, 30, 120, seed=4)[0] != fresh()[0]


def test_rows_of_about_one_length_are_put_together() -> None:
    assert [
        [len(each.input_ids) for each in batch]
        for batch in cut_into_batches([row(1, n) for n in (5, 1, 9, 2, 5, 40)], 12)
    ] == [[1, 2], [5, 5], [9], [40]]


def test_the_weight_of_a_kind_moves_on_straight_lines() -> None:
    points = [(0.1, 1.0), (0.3, 0.0), (0.5, 2.0)]
    assert [weight_at(points, at) for at in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 1)] == pytest.approx(
        [1, 1, 0.5, 0, 1, 2, 2]
    )
    with pytest.raises(UsageError, match="every kind has weight 0 at batch 5 of 10"):
        TokenBatches({"all": lengths}, {"all": [(0, 1), (0.5, 0)]}, 30, 10, seed=1)


def test_padding_stands_behind_and_is_not_trained() -> None:
    tensors = collate([{"batch": [row(5, 1), row(6, 3)]}], padding=9)
    assert tensors["input_ids"].tolist() == [[5, 9, 9], [6, 6, 6]]
    assert tensors["labels"].tolist() == [[5, IGNORED, IGNORED], [6, 6, 6]]
    assert collate([row(5, 1)._asdict(), row(6, 3)._asdict()], 9)["input_ids"].tolist() == [
        [5, 9, 9],
        [6, 6, 6],
    ]


def test_muon_steps_matrices_by_nearly_orthogonal_directions() -> None:
    """The singular values of a step are near the rate, whatever those of the gradient are; a
    standing matrix steps further.
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


def test_what_is_no_matrix_of_a_layer_is_stepped_by_adam() -> None:
    """As torch's own AdamW steps it, decay included."""
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


def test_the_optimizer_of_a_recipe_has_every_weight_once() -> None:
    wanted = training_request("triage", "tiny-cpu", WORKED)
    model = open_base(wanted.resolved.settings, inspect_request(wanted).tokenizer, "hf")
    optimizer = make_muon(model.named_parameters(), wanted.resolved.settings.training)
    assert optimizer is not None
    matrices, others = (
        [tuple(each.shape) for each in group["params"]] for group in optimizer.param_groups
    )
    assert len(matrices) == 2 * 7
    assert len(matrices) + len(others) == len(list(model.parameters()))
    assert (405, 64) in others


def test_an_interrupted_training_by_muon_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Kinds that are mixed, a rate that falls, averages of Muon and of Adam: weights, losses,
    scores and card are the same.
    """
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    trained("triage", "tiny-cpu", WORKED, whole)
    with pytest.raises(Stopped):
        trained("triage", "tiny-cpu", WORKED, torn, watch=unplug_at(6))
    seen: list[int] = []
    trained("triage", "tiny-cpu", WORKED, torn, "resume", lambda now: seen.append(now.done))
    assert min(seen) == 5  # or it had begun anew
    assert files(torn) == files(whole)
    assert json.loads((whole / "model/finops.json").read_bytes()) == {"modelfile": "tiny-triage"}
    losses = json.loads((whole / "run.json").read_bytes())["result"]["losses"]
    assert losses[-1]["loss"] < losses[0]["loss"]
