"""Resumed trainings: the same bytes as without an interruption, or a message that names what
differs.
"""

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
from tests.support.training_runs import Stopped, files, lora, run_training, stop_at

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


@pytest.mark.parametrize("step", [5, 10])
def test_resumed_training_gives_identical_files(
    step: int, adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A training that is interrupted in either epoch and resumed gives the files of an
    uninterrupted one.
    """
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(Stopped):
        run_training("sentiment", None, flags, tmp_path / "out", watch=stop_at(step))
    seen: list[int] = []
    run_training(
        "sentiment", None, flags, tmp_path / "out", "resume", lambda now: seen.append(now.done)
    )
    assert min(seen) == step // 4 * 4 + 1  # otherwise it started again
    assert files(tmp_path / "out") == files(adapter)


def test_resume_skips_an_incomplete_checkpoint(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A checkpoint that was not written completely is skipped, and the one before it is used."""
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(Stopped):
        run_training("sentiment", None, flags, tmp_path / "out", watch=stop_at(10))
    (tmp_path / "out/checkpoints/checkpoint-8/trainer_state.json").write_text('{"epoch": 1.3')
    run_training("sentiment", None, flags, tmp_path / "out", "resume")
    assert files(tmp_path / "out") == files(adapter)


def test_resume_after_the_last_step_only_writes_files(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """If all steps are done and a file could not be written, a resume writes it without
    training.
    """
    flags = lora(base, sentences, "training.epochs=2")
    picture = tmp_path / "out/loss.png"
    with pytest.raises(OSError, match=r"loss\.png"):
        run_training(
            "sentiment",
            None,
            flags,
            tmp_path / "out",
            watch=lambda now: picture.mkdir(exist_ok=True),
        )
    picture.rmdir()
    seen: list[int] = []
    run_training(
        "sentiment", None, flags, tmp_path / "out", "resume", lambda now: seen.append(now.done)
    )
    assert set(seen) <= {12}
    assert files(tmp_path / "out") == files(adapter)


def test_resume_with_other_settings_or_data_is_refused(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """Other settings or data are refused with both values. The same data in another folder are
    accepted.
    """
    flags = lora(base, sentences)
    with pytest.raises(Stopped):
        run_training("sentiment", None, flags, tmp_path / "out", watch=stop_at(5))
    with pytest.raises(ResumeRefused, match=r"training\.learning_rate: was 0\.001, now 0\.002"):
        run_training(
            "sentiment", None, [*flags, "training.learning_rate=2e-3"], tmp_path / "out", "resume"
        )
    other = Path(shutil.copytree(sentences, tmp_path / "other"))
    lines = (other / "sentiment-train.jsonl").read_bytes().splitlines(keepends=True)
    (other / "sentiment-train.jsonl").write_bytes(b"".join(reversed(lines)))
    with pytest.raises(ResumeRefused, match=r"the data: was .*sentiment-train\.jsonl"):
        run_training("sentiment", None, lora(base, other), tmp_path / "out", "resume")
    with pytest.raises(UsageError, match="has a training run", check=cured_by("--resume")):
        run_training("sentiment", None, flags, tmp_path / "out")


def test_record_comparison_ignores_folder_paths(adapter: Path) -> None:
    """Another folder is not a difference, but another digest of its files is."""
    run = read_record(adapter)
    assert run is not None
    made = run.made_from
    moved = [
        replace(each, value="elsewhere") if each.key in ("base.folder", "data.folder") else each
        for each in made.settings
    ]
    assert list(find_differences(made, replace(made, settings=moved))) == []
    [difference] = find_differences(
        made, replace(made, base={**made.base, "model.safetensors": "0"})
    )
    assert difference.startswith("the base, model.safetensors: was")


def test_foreign_folder_is_neither_resumed_nor_overwritten(
    adapter: Path, base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A folder without a training run, or with a finished one, cannot be resumed. Foreign files
    are not overwritten.
    """
    flags = lora(base, sentences, "training.epochs=2")
    with pytest.raises(ResumeRefused, match="no training run to resume"):
        run_training("sentiment", None, flags, tmp_path, "resume")
    with pytest.raises(ResumeRefused, match="has a finished training run"):
        run_training("sentiment", None, flags, adapter, "resume")
    (tmp_path / "thesis.txt").write_text("years of work")
    for how in ("new", "overwrite"):
        with pytest.raises(UsageError, match="not empty"):
            run_training("sentiment", None, flags, tmp_path, how)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_overwrite_removes_only_files_of_the_training(tmp_path: Path) -> None:
    """`--overwrite` removes the files of a training run and keeps the user's notes and links."""
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
