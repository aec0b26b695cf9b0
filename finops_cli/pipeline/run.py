"""One run from source to output: fresh or resumed, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from finops_cli import __version__
from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.files.jsonl import PART_LINES, batches, lines_of
from finops_cli.files.safe_io import lock, reading, refuse_unreadable, refuse_unwritable, writing
from finops_cli.files.seen_ids import SeenIds
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline import resume
from finops_cli.pipeline.output import read_line
from finops_cli.pipeline.parse import decode, fail_id_of, parse_case_line, parse_fail_line
from finops_cli.pipeline.pipeline import Pipeline, default_fail_id
from finops_cli.pipeline.scheduler import PipelineConfig, process_lines
from finops_cli.pipeline.summary import count_line


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What to run. `source` and `output` None: standard input and output. `overwrite`: an
    interrupted output may be lost.

    `plan` sets up the desks of further processes.
    """

    plan: PipelineConfig
    source: Path | None
    output: Path | None
    workers: int = 1
    resume: bool = False
    overwrite: bool = False


Watch = Callable[[RunSummary, int], None]
"""Told after each part: the tally so far, and the bytes of input behind it."""


def run(job: RunConfig, desk: Pipeline, watch: Watch) -> RunSummary:
    """Carry out `job` at `desk`; returns the tally of every line of the output.

    Raises ResumeRefused, Unfinished, EverythingDown. `refuse_impossible` is called before, and
    before models are looked for.
    """
    tally = RunSummary()
    with ExitStack() as stack:
        seen = stack.enter_context(SeenIds())
        source = stack.enter_context(reading(job.source))
        skip = 0
        note = _fingerprint(job, desk)
        if job.output is None or note is None:
            output = stack.enter_context(writing(job.output, [job.source]))
        else:
            output = stack.enter_context(_held(job.output))
            skip = _take_up(job, output, note, desk, seen, tally)
            watch(tally, 0)
        for done in process_lines(
            batches(source, skip, 1 if desk.backend.concurrency else PART_LINES),
            desk,
            job.plan,
            job.workers,
            seen,
        ):
            output.write(b"".join(done.lines))  # one call to the system a part
            output.flush()
            tally.add(done.tally)
            watch(tally, done.end)
        if job.output is not None and note is not None:
            resume.write_note(job.output, note, complete=True)
    return tally


def refuse_impossible(job: RunConfig) -> None:
    """Raises UsageError for places that cannot be read or written, and for a pipe that is to be
    resumed.
    """
    if job.source is not None:
        refuse_unreadable(job.source)
    if job.output is not None:
        refuse_unwritable(job.output, [job.source])
        if (
            job.source is not None
            and _is_file(job.source)
            and resume.note_path(job.output).name == job.source.name
        ):
            raise UsageError(
                f"{job.source}: is the note of {job.output}, not a blotter", "choose another output"
            )
    if job.resume and not (_is_file(job.source) and job.output is not None):
        raise UsageError(
            "--resume needs a file as input and -o FILE as output: a pipe cannot be read again"
        )


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _fingerprint(job: RunConfig, desk: Pipeline) -> resume.Fingerprint | None:
    """None where a run cannot be resumed: a pipe or a device on either side."""
    if (
        job.source is None
        or job.output is None
        or not _is_file(job.source)
        or (job.output.exists() and not _is_file(job.output))
    ):
        return None
    length, sha256 = resume.digest(job.source)
    name, models, digests, prompt_sha256, settings = desk.backend.origin
    return resume.Fingerprint(
        command=desk.stage,
        finops=__version__,
        input_bytes=length,
        input_sha256=sha256,
        kb=desk.kb.version,
        backend=name,
        models=models,
        digests=digests,
        prompt_sha256=prompt_sha256,
        settings=settings,
        keeps_raw=desk.keeps_raw,
        guard=None if desk.screen is None else desk.screen.way,
        timed=job.plan.timed,
    )


@contextmanager
def _held(output: Path) -> Iterator[BinaryIO]:
    """`output`, created where it is not there, open for reading and writing at its end, held
    against other runs.
    """
    with output.open("a+b") as file:
        lock(file, output)
        yield file


def _take_up(
    job: RunConfig,
    output: BinaryIO,
    note: resume.Fingerprint,
    desk: Pipeline,
    seen: SeenIds,
    tally: RunSummary,
) -> int:
    """Make `output` ready for the next line and return how many are done, counted into `tally` and
    `seen`.

    A fresh output is emptied before its note is written: an empty output is never resumed, so no
    moment leaves lines of one run under the note of another.
    """
    path, empty = Path(output.name), not output.seek(0, os.SEEK_END)
    if job.resume and not empty:
        resume.refuse_if_different(path, note)
        resume.cut_torn_line(output)
        return _recount(job, path, desk, seen, tally)
    if not empty and not job.overwrite:
        resume.refuse_to_lose(path)
    output.truncate(0)
    resume.write_note(path, note, complete=False)
    return 0


def _recount(job: RunConfig, output: Path, desk: Pipeline, seen: SeenIds, tally: RunSummary) -> int:
    """Count the lines of `output` and hold each against the input line that it answers."""
    done = 0
    with output.open("rb") as written, reading(job.source) as source:
        given = lines_of(source)
        for number, line in enumerate(written, start=1):
            asked = next(given, None)
            if asked is None:
                raise ResumeRefused(
                    f"{output} has more lines than {job.source}", "delete it to start over"
                )
            _count(output, number, line, asked[0], desk, seen, tally)
            done = number
    return done


def _count(
    output: Path,
    number: int,
    written: bytes,
    given: bytes,
    desk: Pipeline,
    seen: SeenIds,
    tally: RunSummary,
) -> None:
    try:
        line = read_line(written)
    except msgspec.MsgspecError as error:
        raise ResumeRefused(
            f"{output} line {number} is no output line ({error})", "delete it to start over"
        ) from error
    name = fail_id_of(decode(given))
    expected = default_fail_id(number) if name is None else desk.name(name)
    if line.fail_id != expected:
        raise ResumeRefused(
            f"{output} line {number} answers {line.fail_id}, the input has {expected}",
            "delete it to start over",
        )
    owed = _owed(given, desk) if isinstance(line.resolution, msgspec.Struct) else 0
    if name is not None:
        seen.register([(name, number)])
    count_line(tally, line, owed)


def _owed(given: bytes, desk: Pipeline) -> int:
    if desk.stage == "resolve":
        case = parse_case_line(given, desk.kb).value
        return case.ftd_qty if case is not None else 0
    fail = parse_fail_line(given).value
    return fail.qty if fail is not None else 0
