"""One run from source to output: new or resumed, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.files.input_watch import InputWatch
from finops_cli.files.jsonl import InputLine
from finops_cli.files.safe_io import (
    for_owner,
    lock,
    name_full_disk,
    refuse_unreadable,
    refuse_unwritable,
    writing,
)
from finops_cli.monitoring.run_counts import RunCounts
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.monitoring.system_monitor import system_monitor
from finops_cli.pipeline import resume, scheduler
from finops_cli.pipeline.earlier_lines import EarlierLines, count_promised, draw_of
from finops_cli.pipeline.evidence import (
    Attribution,
    OutputDigest,
    count_statuses,
)
from finops_cli.pipeline.input_source import (
    InputDigest,
    InputSource,
    decode_input,
    given_name,
    input_fail_id,
)
from finops_cli.pipeline.line_pipeline import InputShares, LinePipeline, LinePipelineConfig
from finops_cli.pipeline.scheduler import BatchResult, Executor, LocalExecutor, compare_each
from finops_cli.pipeline.stored.file_set import locate_of
from finops_cli.pipeline.stored.journal import MadeOutput
from finops_cli.pipeline.stored.patterns import refuse_to_find
from finops_cli.version import __version__


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The input, output and pipeline of a run."""

    pipeline: LinePipelineConfig
    """Sets up the pipelines of further processes."""
    input: InputSource
    output: Path | None
    """None: stdout."""
    workers: int = 1
    resume: bool = False
    overwrite: bool = False
    """An earlier output may be lost."""
    attribution: Attribution | None = None
    """The user who runs it; None: the note leaves it out."""
    spool: BinaryIO | None = None
    """Takes the lines in place of stdout: a view is made of them."""
    made: MadeOutput | None = None
    """The output that is made of the lines when they are complete; `output` is then its journal."""
    on_lines: Callable[[Sequence[bytes]], None] | None = None
    """Called with the lines of each batch after they were written, in order."""
    executor: Executor | None = None
    """Answers the lines; None: this process and its children do. It needs files on both sides."""

    @property
    def source(self) -> Path | None:
        """The file or pipe that the run reads; None: stdin."""
        return self.input.path


OnBatch = Callable[[RunSummary, int], None]
"""Called after each batch with the summary so far and the bytes of input that it covers."""


def run(config: RunConfig, pipeline: LinePipeline, on_batch: OnBatch) -> RunSummary:
    """Run a pipeline from source to output and return the summary of every output line.

    Callers call `refuse_impossible` first, before they look for models. Raises ResumeRefused,
    Unfinished, NoEndpointLeft.
    """
    summary, monitor = RunSummary(), system_monitor(pipeline.kb)
    watch = InputWatch([config.source, *config.input.parts, *further_files(config)])
    with ExitStack() as stack:
        stack.enter_context(monitor.work())
        earlier = stack.enter_context(EarlierLines(locate_of(config.input)))
        note = _begin_note(config, pipeline)
        at_most = scheduler.most_lines(pipeline, config.workers)
        skip: int | None
        executor: Executor | None
        open_here = partial(LocalExecutor, pipeline, config.pipeline, config.workers)
        if config.output is None or note is None:
            # a pipe that brings another kind of file is refused before an output is emptied
            skip = 0
            executor = open_here(config.input.batches(0, at_most))
            output = config.spool or stack.enter_context(
                writing(config.output, read_files(config), config.overwrite)
            )
            if config.output is not None:
                resume.remove_note(config.output)  # it says what made the lines that were here
        else:
            output = stack.enter_context(_locked(config.output))
            if config.made is not None and config.resume:
                config.made.restore(output, note.fingerprint)
            skip = _resume_or_start(config, output, note, pipeline, earlier, summary)
            on_batch(summary, 0)
            executor = None
            if skip is not None:
                executor = config.executor or open_here(config.input.batches(skip, at_most))
        if executor is not None:
            results = compare_each(executor.results(skip or 0), pipeline, earlier)
            _write_results(config, pipeline, executor, results, output, summary, on_batch)
        watch.refuse_changed(config.output, _comparison(config, pipeline, note))
        if config.output is not None and note is not None:
            _complete_note(config, note, summary)
        if config.made is not None:
            config.made.finish()
    return summary


def _write_results(
    config: RunConfig,
    pipeline: LinePipeline,
    executor: Executor,
    results: Iterator[BatchResult],
    output: BinaryIO,
    summary: RunSummary,
    on_batch: OnBatch,
) -> None:
    """Write the lines of each batch, and count them into `summary`."""
    monitor = system_monitor(pipeline.kb)
    for result in results:
        output.write(b"".join(result.lines))  # one system call a batch
        output.flush()
        summary.add(result.summary)
        monitor.records(pipeline.identity.command, result.summary)
        if config.on_lines is not None:
            config.on_lines(result.lines)
        summary.dropped, summary.blank = executor.dropped, executor.blank
        on_batch(summary, result.end)


def refuse_impossible(config: RunConfig) -> None:
    """Raise UsageError for paths that cannot be read or written, and for resuming a pipe."""
    if config.source is not None and config.input.parts:
        made = None if config.made is None else config.made.target
        refuse_to_find(config.source, [config.output, made])
    elif config.source is not None:
        refuse_unreadable(config.source)
    if config.output is not None:
        refuse_unwritable(config.output, [*read_files(config), *settings_files(config)])
        if (
            config.source is not None
            and _is_file(config.source)
            and resume.note_path(config.output).name == config.source.name
        ):
            raise UsageError(
                f"{config.source}: is the note of {config.output}, not a blotter",
                "choose another output",
            )
        if not config.overwrite and not config.resume:
            resume.refuse_to_lose(config.output)
    if config.made is not None:
        may_exist = config.overwrite or config.resume
        config.made.refuse_impossible(read_files(config), may_exist=may_exist)
    if config.resume and config.overwrite:
        raise UsageError(
            "--resume and --overwrite contradict each other",
            "give --resume to continue the output, or --overwrite to start over",
        )
    if config.resume and not (_is_stored(config) and config.output is not None):
        raise UsageError(
            "--resume needs a file as input and -o FILE as output: a pipe cannot be read again",
            "give the input as a file and the output with -o, or leave --resume out",
        )


def read_files(config: RunConfig) -> list[Path | None]:
    """The files that the lines of a run come from: an output must not replace them."""
    source = None if config.input.parts else config.source
    return [source, *config.input.parts, *config.input.other_files]


def settings_files(config: RunConfig) -> list[Path]:
    """The files of rules and days that a run reads: an output must not replace them."""
    return [*config.pipeline.kb_dir.glob("*.toml"), *_calendar_files(config)]


def _calendar_files(config: RunConfig) -> list[Path]:
    clock = config.pipeline.clock
    return [] if clock is None or clock.calendar_file is None else [clock.calendar_file]


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _is_stored(config: RunConfig) -> bool:
    """Return true for an input that can be read again."""
    return bool(config.input.parts) or _is_file(config.source)


def _begin_note(config: RunConfig, pipeline: LinePipeline) -> resume.RunNote | None:
    """Begin the note of a run; None if a pipe or a device prevents resuming."""
    if not _can_resume(config) or config.output is None:
        return None
    given = config.input.digest()
    fingerprint = describe_lines(pipeline, given, timed=config.pipeline.timed)
    if config.attribution is None:
        return resume.RunNote(fingerprint, complete=False, book=given.note)
    source = fingerprint.input_bytes, fingerprint.input_sha256
    files = [resume.digest_file(path, None) for path in further_files(config)]
    if config.input.parts:
        files = [*(resume.digest_file(path, None) for path in config.input.parts), *files]
    elif config.source is not None:
        files.insert(0, resume.digest_file(config.source, source))
    before = resume.find_evidence(config.output) if config.resume else None
    evidence = config.attribution.begin(tuple(files), before)
    return resume.RunNote(fingerprint, complete=False, evidence=evidence, book=given.note)


def further_files(config: RunConfig) -> list[Path]:
    """List the files beside the input that decide lines, each once. Rules have a digest of all."""
    named = dict.fromkeys((*config.input.other_files, *_calendar_files(config)))
    return [path for path in named if _is_file(path)]


def _comparison(
    config: RunConfig, pipeline: LinePipeline, note: resume.RunNote | None
) -> Callable[[], bool] | None:
    """Return what compares the inputs with those of the note; None without a note."""
    if note is None:
        return None
    timed = config.pipeline.timed
    return lambda: describe_lines(pipeline, config.input.digest(), timed=timed) == note.fingerprint


def _complete_note(config: RunConfig, note: resume.RunNote, summary: RunSummary) -> None:
    """Write the note of a complete run.

    A resumed run that found its output complete keeps the note: a new digest would vouch for lines
    that somebody may have changed since.
    """
    output = config.output
    if output is None or (config.resume and resume.is_whole(output, summary.statuses.total())):
        return
    evidence = note.evidence
    if evidence is not None and config.attribution is not None:
        size, sha256 = resume.digest(output)
        statuses = count_statuses(summary.statuses)
        digest = OutputDigest(
            size=size, lines=sum(statuses.values()), sha256=sha256, statuses=statuses
        )
        evidence = config.attribution.complete(evidence, digest)
    counts = None if evidence is None else RunCounts.of(summary)
    resume.write_note(output, replace(note, complete=True, evidence=evidence, counts=counts))


def _can_resume(config: RunConfig) -> bool:
    """Return false where a pipe or a device prevents resuming."""
    output = config.output
    return output is not None and _is_stored(config) and (not output.exists() or _is_file(output))


def describe_lines(
    pipeline: LinePipeline, given: InputDigest, *, timed: bool
) -> resume.Fingerprint:
    """Describe what the lines depend on that a pipeline makes of an input."""
    origin, identity = pipeline.backend.origin, pipeline.identity
    return resume.Fingerprint(
        command=identity.command,
        finops=__version__,
        input_bytes=given.length,
        input_sha256=given.sha256,
        input_kind=given.kind,
        mapping=given.mapping,
        joined=given.joined,
        kb=pipeline.kb.sha256,
        backend=origin.name,
        models=origin.models,
        digests=origin.digests,
        prompt_sha256=origin.prompt_sha256,
        settings=origin.settings,
        keeps_raw=pipeline.keeps_raw,
        guard=None if pipeline.redaction is None else pipeline.redaction.mode,
        timed=timed,
        strict_input=identity.strict_input,
        clock=identity.clock,
        options=identity.options,
        book=given.book,
    )


@contextmanager
def _locked(output: Path) -> Iterator[BinaryIO]:
    """Open `output` for reading and appending, create it if missing, and lock out other runs."""
    with name_full_disk(output), open(output, "a+b", opener=for_owner) as file:
        lock(file, output)
        yield file


def _resume_or_start(
    config: RunConfig,
    output: BinaryIO,
    note: resume.RunNote,
    pipeline: LinePipeline,
    earlier: EarlierLines,
    summary: RunSummary,
) -> int | None:
    """Prepare `output` for its next line and return the number of its lines; None if it is whole.

    These lines are counted into `summary`, and remembered in `earlier`.

    A new output is emptied before its note is written. An empty output is never resumed, so lines
    of one run never have the note of another.
    """
    path, empty = Path(output.name), not output.seek(0, os.SEEK_END)
    if config.resume and not empty:
        resume.refuse_if_different(path, note.fingerprint, note.evidence)
        if (counted := resume.restore_summary(path)) is not None:
            summary.add_whole(counted)
            return None
        resume.cut_torn_line(output)
        done = _recount(config, path, pipeline, earlier, summary)
        if not resume.is_whole(path, done):
            resume.write_note(path, note)
        return done
    if not empty and not config.overwrite:
        resume.refuse_to_lose(path)
    output.truncate(0)
    resume.write_note(path, note)
    return 0


def _recount(
    config: RunConfig,
    output: Path,
    pipeline: LinePipeline,
    earlier: EarlierLines,
    summary: RunSummary,
) -> int:
    """Count the lines of `output` and compare each with the input line that it answers."""
    done = 0
    with output.open("rb") as written, closing(config.input.lines()) as given:
        for number, line in enumerate(written, start=1):
            asked = next(given, None)
            if asked is None:
                raise ResumeRefused(
                    f"{output} has more lines than {config.source}", "delete it to start over"
                )
            _count(output, number, line, asked, pipeline, earlier, summary)
            done = number
    return done


def _count(
    output: Path,
    number: int,
    written: bytes,
    given: InputLine,
    pipeline: LinePipeline,
    earlier: EarlierLines,
    summary: RunSummary,
) -> None:
    try:
        line = pipeline.line_type.read(written)
    except UNREADABLE as error:
        raise ResumeRefused(
            f"{output} line {number} is not an output line ({error})", "delete it to start over"
        ) from error
    resume.refuse_other_origin(output, number, line, pipeline.kb.version, pipeline.backend.origin)
    kind = pipeline.line_type
    name = given_name(decode_input(given), kind.id_fields)
    expected = input_fail_id(given, number) if name is None else pipeline.name(name)
    if kind.name_of(line) != expected:
        raise ResumeRefused(
            f"{output} line {number} answers {kind.name_of(line)}, the input has {expected}",
            "delete it to start over",
        )
    plan = getattr(line, "resolution", None)
    shares = pipeline.count_shares(given) if isinstance(plan, msgspec.Struct) else InputShares(0)
    if name is not None:
        earlier.seen.register([(name, number)])
    kind.add_to(summary, line, shares.owed, pipeline.backend.origin.is_model)
    if shares.held is not None:
        draw = draw_of(line.fail, getattr(line.triage, "category", None), plan, shares.held)
        for promised in earlier.promises.add([] if draw is None else [draw]):
            if promised is not None:
                count_promised(summary.shared, promised)
