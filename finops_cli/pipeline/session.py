"""One run from source to output: fresh or resumed, in one process or several."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from finops_cli import __version__
from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.pipeline import lines, resume
from finops_cli.pipeline.blotter import lines_of, parts
from finops_cli.pipeline.conveyor import DeskPlan, convey
from finops_cli.pipeline.desk import Desk
from finops_cli.pipeline.duplicates import SeenIds
from finops_cli.pipeline.intake import decode, name_of, take_case, take_fail
from finops_cli.pipeline.tally import Tally


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. `source` and `output` None: standard input and output."""

    plan: DeskPlan
    source: Path | None
    output: Path | None
    workers: int = 1
    resume: bool = False


Watch = Callable[[Tally, int], None]
"""Told after each part: the tally so far, and the bytes of input behind it."""


def run(job: Job, watch: Watch) -> Tally:
    """Carry out `job`; returns the tally of every line of the output. Raises UsageError, ResumeRefused, WorkerLost."""
    _refuse_impossible(job)
    desk = job.plan.open()
    tally = Tally()
    with ExitStack() as stack:
        seen = stack.enter_context(SeenIds())
        source = stack.enter_context(_source(job))
        note = _fingerprint(job, desk)
        if job.output is None or note is None:
            output: BinaryIO = sys.stdout.buffer if job.output is None else stack.enter_context(job.output.open("wb"))
            skip = 0
        else:
            skip = _take_up(job, job.output, note, desk, seen, tally) if job.resume else 0
            output = stack.enter_context(_open_output(job.output, note, skip))
        for done in convey(parts(source, skip), desk, job.plan, job.workers, seen):
            output.writelines(done.lines)
            output.flush()
            tally.add(done.tally)
            watch(tally, done.end)
        if job.output is not None and note is not None:
            os.fsync(output.fileno())
            resume.write_note(job.output, note, complete=True)
    return tally


def _refuse_impossible(job: Job) -> None:
    if job.source is not None and not job.source.is_file():
        what = "is a folder" if job.source.is_dir() else "no such file"
        raise UsageError(f"{job.source}: {what}; give a JSONL file, or - for stdin")
    if job.output is not None and not job.output.parent.is_dir():
        raise UsageError(f"{job.output}: the folder {job.output.parent} does not exist")
    if job.output is not None and job.source is not None and job.output.exists() and job.output.samefile(job.source):
        raise UsageError(f"{job.output}: input and output are the same file")
    if job.resume and (job.source is None or job.output is None):
        raise UsageError("--resume needs a file as input and -o FILE as output: a pipe cannot be read again")


@contextmanager
def _source(job: Job) -> Iterator[BinaryIO]:
    if job.source is None:
        yield sys.stdin.buffer
        return
    with job.source.open("rb") as file:
        yield file


def _fingerprint(job: Job, desk: Desk) -> resume.Fingerprint | None:
    """None where a run cannot be resumed: a pipe or a device on either side."""
    if job.source is None or job.output is None or (job.output.exists() and not job.output.is_file()):
        return None
    length, sha256 = resume.digest(job.source)
    backend = desk.backend
    return resume.Fingerprint(
        command=desk.stage,
        finops=__version__,
        input_bytes=length,
        input_sha256=sha256,
        kb=desk.book.version,
        backend=backend.name,
        models=backend.models,
        prompt_sha256=backend.prompt_sha256,
        timed=job.plan.timed,
    )


def _open_output(output: Path, note: resume.Fingerprint, skip: int) -> BinaryIO:
    """The output, ready for line `skip` + 1. Emptied before its note is written: an empty output is never resumed."""
    if skip:
        return output.open("ab")
    file = output.open("wb")
    resume.write_note(output, note, complete=False)
    return file


def _take_up(job: Job, output: Path, note: resume.Fingerprint, desk: Desk, seen: SeenIds, tally: Tally) -> int:
    """How many lines are done. Counts them into `tally` and `seen`."""
    if job.source is None or not output.is_file() or not output.stat().st_size:
        return 0
    resume.refuse_if_different(output, note)
    with output.open("r+b") as file:
        resume.cut_torn_line(file)
    done = 0
    with output.open("rb") as written, job.source.open("rb") as source:
        given = lines_of(source)
        for number, line in enumerate(written, start=1):
            asked = next(given, None)
            if asked is None:
                raise ResumeRefused(f"{output} has more lines than {job.source}; delete it to start over")
            _recount(output, number, line, asked[0], desk, seen, tally)
            done = number
    return done


def _recount(output: Path, number: int, written: bytes, given: bytes, desk: Desk, seen: SeenIds, tally: Tally) -> None:
    try:
        line = lines.read(written)
    except msgspec.DecodeError as error:
        raise ResumeRefused(f"{output} line {number} is no output line ({error}); delete it to start over") from error
    owed = 0
    if isinstance(line.resolution, msgspec.Struct):
        owed = _owed(given, desk)
    name = name_of(decode(given))
    if name is not None:
        seen.register([(name, number)])
    tally.count(line, owed)


def _owed(given: bytes, desk: Desk) -> int:
    if desk.stage == "resolve":
        case = take_case(given, desk.book).value
        return case.ftd_qty if case is not None else 0
    fail = take_fail(given).value
    return fail.qty if fail is not None else 0
