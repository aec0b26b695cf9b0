"""A training that was interrupted goes on to the same bytes, or says what is not the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.cures import cured_by

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.training.checkpoints import find_differences, prepare_output
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.run_record import read_record
from tests.support.training_runs import Stopped, files, lora, trained, unplug_at

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


@pytest.mark.parametrize("step", [5, 10])
def test_an_interrupted_training_goes_on_to_the_same_bytes(
    step: int, adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """Interrupted in the first epoch or in the second, with dropout and a falling rate: weights,
    losses, scores and card are the same.
    """
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(Stopped):
        trained("sentiment", None, flags, tmp_path / "out", watch=unplug_at(step))
    seen: list[int] = []
    trained("sentiment", None, flags, tmp_path / "out", "resume", lambda now: seen.append(now.done))
    assert min(seen) == step // 4 * 4 + 1  # or it had begun anew
    assert files(tmp_path / "out") == files(adapter)


def test_a_torn_checkpoint_is_passed_over(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A kill in the middle of writing leaves half a checkpoint: the one before it is taken."""
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(Stopped):
        trained("sentiment", None, flags, tmp_path / "out", watch=unplug_at(10))
    (tmp_path / "out/checkpoints/checkpoint-8/trainer_state.json").write_text('{"epoch": 1.3')
    trained("sentiment", None, flags, tmp_path / "out", "resume")
    assert files(tmp_path / "out") == files(adapter)


def test_a_training_that_failed_at_its_very_end_is_finished(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """All steps are done and the picture cannot be written: going on writes what is missing, and
    trains no step.
    """
    flags = lora(base, sentences, "training.epochs=2")
    picture = tmp_path / "out/loss.png"
    with pytest.raises(OSError, match=r"loss\.png"):
        trained(
            "sentiment",
            None,
            flags,
            tmp_path / "out",
            watch=lambda now: picture.mkdir(exist_ok=True),
        )
    picture.rmdir()
    seen: list[int] = []
    trained("sentiment", None, flags, tmp_path / "out", "resume", lambda now: seen.append(now.done))
    assert set(seen) <= {12}
    assert files(tmp_path / "out") == files(adapter)


def test_going_on_with_something_else_is_refused(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """Other settings and other data are named, with both values; where the same data stand does not
    matter.
    """
    flags = lora(base, sentences)
    with pytest.raises(Stopped):
        trained("sentiment", None, flags, tmp_path / "out", watch=unplug_at(5))
    with pytest.raises(ResumeRefused, match=r"training\.learning_rate: was 0\.001, now 0\.002"):
        trained(
            "sentiment", None, [*flags, "training.learning_rate=2e-3"], tmp_path / "out", "resume"
        )
    other = Path(shutil.copytree(sentences, tmp_path / "other"))
    lines = (other / "sentiment-train.jsonl").read_bytes().splitlines(keepends=True)
    (other / "sentiment-train.jsonl").write_bytes(b"".join(reversed(lines)))
    with pytest.raises(ResumeRefused, match=r"the data: was .*sentiment-train\.jsonl"):
        trained("sentiment", None, lora(base, other), tmp_path / "out", "resume")
    with pytest.raises(UsageError, match="has a training run", check=cured_by("--resume")):
        trained("sentiment", None, flags, tmp_path / "out")


def test_where_folders_are_is_no_difference(adapter: Path) -> None:
    """What is in them has digests."""
    run = read_record(adapter)
    assert run is not None
    made = run.made_from
    moved = [
        replace(each, value="elsewhere") if each.key in ("base.folder", "data.folder") else each
        for each in made.settings
    ]
    assert list(find_differences(made, replace(made, settings=moved))) == []
    [told] = find_differences(made, replace(made, base={**made.base, "model.safetensors": "0"}))
    assert told.startswith("the base, model.safetensors: was")


def test_what_is_no_training_is_neither_continued_nor_overwritten(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(ResumeRefused, match="no training run to resume"):
        trained("sentiment", None, flags, tmp_path, "resume")
    with pytest.raises(ResumeRefused, match="has a finished training run"):
        trained("sentiment", None, flags, adapter, "resume")
    (tmp_path / "thesis.txt").write_text("years of work")
    for how in ("new", "overwrite"):
        with pytest.raises(UsageError, match="not empty"):
            trained("sentiment", None, flags, tmp_path, how)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_starting_over_takes_away_what_a_training_made_and_nothing_else(tmp_path: Path) -> None:
    """Notes and links of the user stay, and what a link points to."""
    (tmp_path / "elsewhere").mkdir()
    output = tmp_path / "out"
    for folder in ("model", "adapter", "checkpoints/checkpoint-4"):
        (output / folder).mkdir(parents=True)
    for file in (
        "run.json",
        "README.md",
        "loss.png",
        "timing.json",
        "notes.txt",
        "model/model.safetensors",
    ):
        (output / file).write_text("x")
    (output / "link").symlink_to(tmp_path / "elsewhere")
    assert prepare_output(output, "overwrite") is None
    assert sorted(item.name for item in output.iterdir()) == ["link", "notes.txt"]
    assert (tmp_path / "elsewhere").is_dir()
