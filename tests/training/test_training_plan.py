"""The plan of a training: what it counts, by what, and what stands in its way.

With the extra and without it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finops_cli.cli import app
from finops_cli.commands.train_report import render_plan
from finops_cli.datasets.writer import DatasetOptions, write_dataset
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.sources import open_row_sources
from finops_cli.training.planning.plan import TrainingPlan, make_plan
from finops_cli.training.versions import find_missing
from tests.support.training_runs import training_request

pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def planned(
    stage: StageName, preset: str | None, *flags: str, output: Path = Path()
) -> TrainingPlan:
    return make_plan(training_request(stage, preset, flags), output)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred resolver rows, eighty of them for training."""
    folder = tmp_path_factory.mktemp("plans")
    write_dataset(
        DatasetOptions("resolver", 100, 7, "coverage", bundled_kb_dir()),
        folder,
        1,
        lambda done: None,
    )
    return folder


def test_a_dry_run_needs_neither_gpu_nor_weights_nor_data(tmp_path: Path) -> None:
    """It tells rows, tokens, steps and versions as far as they are known, and what stands in the
    way.
    """
    arguments = [
        "train",
        "--stage",
        "triage",
        "--dry-run",
        "--json",
        "--data",
        tmp_path,
        "-o",
        tmp_path / "out",
    ]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    plan = json.loads(done.stdout)
    assert (done.exit_code, plan["data_assumed"]) == (0, True)
    assert plan["steps"] == {
        "total": 3000,
        "warm_up": 90,
        "without_packing": 3000,
        "rows_a_step": 8,
        "sequences": 8000,
    }
    assert plan["lengths"]["train"]["percentiles"]["p100"] < 1024
    assert "estimate" in plan["tokens_counted_by"]
    assert any("finops generate --stage triage" in blocker for blocker in plan["blockers"])
    assert not (tmp_path / "out").exists()


def test_a_plan_counts_the_rows_that_are_there(plans: Path) -> None:
    """Rows and digests are those of the files, and packing is reckoned with: two or three rows
    stand in a sequence.
    """
    found = planned("resolver", None, f"data.folder={plans}")
    assert [note.rows for note in found.data] == [80, 20]
    assert all(note.sha256 for note in found.data)
    assert found.steps.without_packing == 30
    assert 80 * found.lengths["train"].percentiles["p50"] / 5120 < found.steps.sequences < 80
    assert not found.data_assumed


def test_a_plan_is_a_page_of_text(plans: Path) -> None:
    """Each key with its value and where it came from; then rows, tokens, steps, and what stands in
    the way.
    """
    text = render_plan(planned("resolver", None, f"data.folder={plans}", "training.epochs=1"))
    assert "training.epochs                  1.0                          --set" in text
    assert "80 resolver-train.jsonl, sha256" in text
    labels = [line.split()[0] for line in text.splitlines() if not line.startswith(" ")]
    assert labels[:2] == ["recipe", "base"]
    assert {"train", "eval", "tokens", "steps", "warm-up", "versions", "blocker"} <= set(labels)


def test_a_stream_has_as_many_rows_as_the_steps_take() -> None:
    """Rows of both splits are made as needed; nothing else stands in the way where the extra is
    installed.
    """
    found = planned("triage", "tiny-cpu", "training.max_steps=30")
    assert [note.rows for note in found.data] == [30, 64]
    assert (found.steps.total, found.tokens_an_epoch) == (30, 30 * 3000)
    missing = find_missing("hf", training_request("triage", "tiny-cpu", []).resolved.settings)
    assert found.blockers == [each.one_line() for each in missing]


@pytest.mark.parametrize(
    ("preset", "flags", "says"),
    [
        (
            "tiny-cpu",
            ["data.format=cart"],
            "data.format is cart. Expected one of: card, scratchpad.",
        ),
        (
            None,
            ["data.folder=absent"],
            ("absent/triage-train.jsonl: no such file; finops generate --stage triage -o absent"),
        ),
    ],
)
def test_data_that_cannot_be_had_is_a_blocker(
    preset: str | None, flags: Sequence[str], says: str
) -> None:
    assert says in planned("triage", preset, *flags).blockers


def test_rows_of_another_stage_or_split_are_refused(
    plans: Path, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """File and line are named."""
    wanted = training_request("resolver", None, [f"data.folder={tmp_path}"]).resolved.settings.data
    (tmp_path / "resolver-train.jsonl").write_bytes((plans / "resolver-eval.jsonl").read_bytes())
    with pytest.raises(
        UsageError, match=r"resolver-train\.jsonl: line 1: is a resolver row of the eval split"
    ):
        open_row_sources("resolver", wanted, bundled_kb_dir(), kb, (0, 0))
    (tmp_path / "resolver-train.jsonl").write_bytes(b'{"id": 3}')
    with pytest.raises(UsageError, match="line 1: is not a row of `finops generate`"):
        open_row_sources("resolver", wanted, bundled_kb_dir(), kb, (0, 0))


@pytest.mark.parametrize("stage", ["triage", "resolver"])
def test_what_the_cards_do_and_others_advise_against_is_said(
    stage: StageName, tmp_path: Path
) -> None:
    """4-bit training of linear attention, and adapters in 8 layers of 32: warnings of the triage
    recipe, not of the resolver's.
    """
    pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")
    found = planned(stage, None, output=tmp_path / "far" / "away")
    told = " ".join(found.warnings)
    assert ("8 of 32 layers" in told, "advises against 4 bits" in told) == (
        stage == "triage",
        stage == "triage",
    )
    assert found.memory_total is not None
    assert 8e9 < found.memory_total < 16e9
    assert any("needs a GPU" in each for each in found.blockers)


def test_packing_and_fp16_do_not_go_with_linear_attention() -> None:
    pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")
    told = planned("triage", None, "training.packing=true", "training.precision=fp16").blockers
    assert any("leak from one row" in each for each in told)
    assert any("NaN" in each for each in told)
