"""The folder of an evaluation: one process writes it, it is never a mixture of two evaluations, and
nothing foreign in it is lost.
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
"""Records that are not asked about yet."""
_CONCLUSIONS = (EVALUATION, REPORT, outcomes.FILE, baselines.FILE)
_LOCK = "evaluation.lock"


@contextmanager
def held(folder: Path, overwrite: bool) -> Iterator[None]:
    """Make the folder where there is none, and keep other processes from writing it.

    Raises UsageError for a folder that holds files of other origin under our names, ResumeRefused
    while another process writes it.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UsageError(f"{folder}: is no folder", "give one, or a name that is free")
    folder.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        _refuse_foreign(folder)
    with (
        (folder / _LOCK).open("wb") as file
    ):  # it stays: a lock that goes could be held twice, and it says that the folder is ours
        lock(file, folder)
        try:
            yield
        finally:
            (folder / STAGED).unlink(missing_ok=True)


def take_up(folder: Path, resumes: bool, overwrite: bool) -> None:
    """The staged records are asked about from now on; conclusions about others go.

    Raises ResumeRefused, with all as it was, where an interrupted evaluation would be lost or goes
    on with other records.
    """
    staged, records, answers = folder / STAGED, folder / RECORDS, folder / ANSWERS
    goes_on = resumes and answers.is_file() and records.is_file()
    if goes_on and resume.digest(staged) != resume.digest(records):
        cure = "give the same --seed, --rows, --profile or --data again, or --overwrite"
        raise ResumeRefused(f"{folder}: other records were asked about so far", cure)
    if not goes_on:
        if not overwrite:
            resume.refuse_to_lose(answers)
        _forget(folder, _CONCLUSIONS)
    staged.replace(records)


def begin_without_answers(folder: Path, overwrite: bool) -> None:
    """The folder of an evaluation that asks nobody.

    Raises ResumeRefused where an interrupted one would be lost.
    """
    answers = folder / ANSWERS
    if not overwrite:
        resume.refuse_to_lose(answers)
    _forget(folder, (*_CONCLUSIONS, ANSWERS, resume.note_path(answers).name))


def refuse_other_answers(folder: Path) -> None:
    """Raises ResumeRefused where the answers are not those to the records."""
    answers, records = folder / ANSWERS, folder / RECORDS
    if resume.made_from(answers).input_sha256 != resume.digest(records)[1]:
        raise ResumeRefused(
            f"{answers}: answers other records than those in {records.name}",
            "--overwrite starts over",
        )


def finished(folder: Path) -> Path:
    """`folder`, if it holds an evaluation that came to its end. Raises UsageError."""
    if not (folder / EVALUATION).is_file():
        begun = (folder / ANSWERS).is_file()
        told = (
            "the evaluation there was interrupted; --resume goes on with it"
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
