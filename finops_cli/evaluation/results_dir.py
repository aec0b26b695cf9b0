"""The folder of an evaluation.

Only one process writes it at a time. It never mixes two evaluations, and files that finops did not
write are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.evaluation import baselines, outcomes
from finops_cli.files.safe_io import lock
from finops_cli.pipeline import resume

RECORDS, ANSWERS, EVALUATION, REPORT = (
    "records.jsonl",
    "answers.jsonl",
    "evaluation.json",
    "report.html",
)
STAGED = "records.jsonl.new"
"""Records that were not sent to a backend yet."""
_CONCLUSIONS = (EVALUATION, REPORT, outcomes.FILE, baselines.FILE)
_LOCK = "evaluation.lock"


@contextmanager
def lock_results(folder: Path, overwrite: bool) -> Iterator[None]:
    """Make the folder if it does not exist, and lock it against other processes.

    Raises UsageError if the folder contains files that finops did not write under the names that it
    uses. Raises ResumeRefused while another process writes the folder.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder", "give a folder, or a new name")
    folder.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        _refuse_foreign(folder)
    with (folder / _LOCK).open(
        "wb"
    ) as file:  # kept: a deleted lock could be taken twice, and it marks the folder as ours
        lock(file, folder)
        try:
            yield
        finally:
            (folder / STAGED).unlink(missing_ok=True)


def adopt_staged_records(folder: Path, resumes: bool, overwrite: bool) -> None:
    """Make the staged records the records of this evaluation and delete results for other records.

    Raises ResumeRefused and changes nothing if an interrupted evaluation would be lost, or would
    continue with other records.
    """
    staged, records, answers = folder / STAGED, folder / RECORDS, folder / ANSWERS
    goes_on = resumes and answers.is_file() and records.is_file()
    if goes_on and resume.digest(staged) != resume.digest(records):
        cure = "give the same --seed, --rows, --profile or --data again, or give --overwrite"
        raise ResumeRefused(f"{folder}: the answers so far belong to other records", cure)
    if not goes_on:
        if not overwrite:
            resume.refuse_to_lose(answers)
        _forget(folder, _CONCLUSIONS)
    staged.replace(records)


def begin_without_answers(folder: Path, overwrite: bool) -> None:
    """Prepare the folder of an evaluation that asks no backend.

    Raises ResumeRefused if an interrupted evaluation would be lost.
    """
    answers = folder / ANSWERS
    if not overwrite:
        resume.refuse_to_lose(answers)
    _forget(folder, (*_CONCLUSIONS, ANSWERS, resume.note_path(answers).name))


def refuse_other_answers(folder: Path) -> None:
    """Raise ResumeRefused if the answers do not belong to the records."""
    answers, records = folder / ANSWERS, folder / RECORDS
    if resume.made_from(answers).input_sha256 != resume.digest(records)[1]:
        raise ResumeRefused(
            f"{answers}: the answers belong to other records than those in {records.name}",
            "give --overwrite to start over",
        )


def require_finished(folder: Path) -> Path:
    """Return `folder` if it contains a finished evaluation. Raises UsageError otherwise."""
    if not (folder / EVALUATION).is_file():
        begun = (folder / ANSWERS).is_file()
        told = (
            "the evaluation there was interrupted; continue it with --resume"
            if begun
            else "no evaluation here"
        )
        raise UsageError(f"{folder}: {told}", "give the folder that `finops evaluate -o` wrote")
    return folder


def _refuse_foreign(folder: Path) -> None:
    ours = (EVALUATION, resume.note_path(folder / ANSWERS).name, _LOCK)
    if any((folder / name).exists() for name in ours):
        return
    for name in (RECORDS, ANSWERS, *_CONCLUSIONS):
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name}: was not written by `finops evaluate`",
                "give another -o, or --overwrite",
            )


def _forget(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
