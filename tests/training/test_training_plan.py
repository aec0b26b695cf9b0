"""The training plan: its counts, how they were made, and its blockers, with and without
the extra.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finops_cli.cli import app
from finops_cli.commands.train_report import render_plan
from finops_cli.datasets.writer import DatasetOptions, make_here, write_dataset
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.sources import open_row_sources
from finops_cli.training.planning.plan import TrainingPlan, make_plan
from finops_cli.training.versions import find_missing
from tests.support.training_runs import training_request

pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def plan_training(
    stage: StageName, preset: str | None, *flags: str, output: Path = Path()
) -> TrainingPlan:
    return make_plan(training_request(stage, preset, flags), output)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred resolver rows, eighty of them for training."""
    folder = tmp_path_factory.mktemp("plans")
    write_dataset(
        DatasetOptions(
            stage="resolver", rows=100, seed=7, profile="coverage", kb_dir=bundled_kb_dir()
        ),
        folder,
        lambda order: make_here(order, 1),
        lambda done: None,
    )
    return folder


def test_dry_run_needs_no_gpu_weights_or_data(tmp_path: Path) -> None:
    """`--dry-run` shows rows, tokens, steps and blockers as far as they are known, and writes
    nothing.
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
    assert (done.exit_code, plan["data_assumed"]) == (3, True)
    assert plan["missing"] == plan["blockers"]
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


def test_plan_counts_rows_and_packed_sequences(plans: Path) -> None:
    """A plan has the rows and digests of the data files and counts packed sequences."""
    found = plan_training("resolver", None, f"data.folder={plans}")
    assert [note.rows for note in found.data] == [80, 20]
    assert all(note.sha256 for note in found.data)
    assert found.steps.without_packing == 30
    assert 80 * found.lengths["train"].percentiles["p50"] / 5120 < found.steps.sequences < 80
    assert not found.data_assumed


def test_plan_text_lists_settings_counts_and_blockers(plans: Path) -> None:
    """The text of a plan lists each setting with its origin, then rows, tokens, steps and
    blockers.
    """
    text = render_plan(plan_training("resolver", None, f"data.folder={plans}", "training.epochs=1"))
    assert "training.epochs                  1.0                          --set" in text
    assert "80 resolver-train.jsonl, sha256" in text
    labels = [line.split()[0] for line in text.splitlines() if not line.startswith(" ")]
    assert labels[:2] == ["recipe", "base"]
    assert {"train", "eval", "tokens", "steps", "warm-up", "versions", "blocker"} <= set(labels)


def test_plan_of_a_stream_has_the_rows_of_its_steps() -> None:
    """A streamed data source has as many rows as the steps need. Only a missing extra is a
    blocker.
    """
    found = plan_training("triage", "tiny-cpu", "training.max_steps=30")
    assert [note.rows for note in found.data] == [30, 64]
    assert (found.steps.total, found.tokens_an_epoch) == (30, 30 * 3000)
    missing = find_missing("hf", training_request("triage", "tiny-cpu", []).resolved.settings)
    assert found.blockers == [each.one_line() for each in missing]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--set", "data.folder=absent"], 3),
        (["--preset", "tiny-cpu", "--set", "data.format=cart"], 2),
        (["--set", "training.epochs=x"], 2),
        (["--set", "data.folder={folder}"], 2),
    ],
)
def test_dry_run_status_says_whether_the_recipe_is_wrong(
    options: list[str], status: int, tmp_path: Path
) -> None:
    """3: something must be installed, made or downloaded. 2: the recipe is wrong, or its rows. The
    plan is printed all the same, unless there is none.
    """
    (tmp_path / "triage-train.jsonl").write_text("not a row\n")
    words = [word.format(folder=tmp_path) for word in options]
    done = CliRunner().invoke(app, ["train", "--stage", "triage", "--dry-run", *words])
    assert done.exit_code == status, done.output
    assert ("blocker  " in done.stdout) is ("training.epochs=x" not in words)


@pytest.mark.parametrize(
    ("preset", "flags", "message"),
    [
        (
            "tiny-cpu",
            ["data.format=cart"],
            "data.format is cart. Expected one of: card, scratchpad, varied.",
        ),
        (
            None,
            ["data.folder=absent"],
            ("absent/triage-train.jsonl: no such file; finops generate --stage triage -o absent"),
        ),
    ],
)
def test_plan_with_unusable_data_has_a_blocker(
    preset: str | None, flags: Sequence[str], message: str
) -> None:
    """An invalid data setting is a blocker with its key and the accepted values."""
    assert message in plan_training("triage", preset, *flags).blockers


def test_rows_of_another_split_are_refused_with_their_line(
    plans: Path, tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Rows of another split, or that `finops generate` did not make, raise UsageError with file and
    line.
    """
    settings = training_request(
        "resolver", None, [f"data.folder={tmp_path}"]
    ).resolved.settings.data
    (tmp_path / "resolver-train.jsonl").write_bytes((plans / "resolver-eval.jsonl").read_bytes())
    with pytest.raises(
        UsageError, match=r"resolver-train\.jsonl: line 1: is a resolver row of the eval split"
    ):
        open_row_sources("resolver", settings, bundled_kb_dir(), kb, (0, 0))
    (tmp_path / "resolver-train.jsonl").write_bytes(b'{"id": 3}')
    with pytest.raises(UsageError, match="line 1: is not a row of `finops generate`"):
        open_row_sources("resolver", settings, bundled_kb_dir(), kb, (0, 0))


@pytest.mark.parametrize("stage", ["triage", "resolver"])
def test_plan_warns_of_4_bit_and_partial_adapters(stage: StageName, tmp_path: Path) -> None:
    """The plan for triage warns of 4-bit linear attention and of adapters in 8 of 32 layers, the
    resolver's does not.
    """
    pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")
    found = plan_training(stage, None, output=tmp_path / "far" / "away")
    joined_warnings = " ".join(found.warnings)
    assert ("8 of 32 layers" in joined_warnings, "advises against 4 bits" in joined_warnings) == (
        stage == "triage",
        stage == "triage",
    )
    assert found.memory_total is not None
    assert 8e9 < found.memory_total < 16e9
    assert any("needs a GPU" in each for each in found.blockers)


def test_plan_blocks_packing_and_fp16_with_linear_attention() -> None:
    """Packing and fp16 are blockers for a base with linear attention."""
    pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")
    blockers = plan_training(
        "triage", None, "training.packing=true", "training.precision=fp16"
    ).blockers
    assert any("leak from one row" in each for each in blockers)
    assert any("NaN" in each for each in blockers)
