"""Progress on stderr, when stderr is a terminal: records, rate, and time left by bytes of input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finops_cli.commands.messages import report
from finops_cli.commands.run_summary import summary
from finops_cli.errors import Unfinished
from finops_cli.files.safe_io import write_json
from finops_cli.models.failures import NoEndpointLeft

if TYPE_CHECKING:
    from pathlib import Path

    from finops_cli.commands.run_options import Call
    from finops_cli.monitoring.monitor import Monitor, Stats
    from finops_cli.monitoring.run_summary import RunSummary
    from finops_cli.pipeline.run import RunConfig, Watch


@contextmanager
def watched(job: RunConfig, call: Call, monitor: Monitor) -> Iterator[Watch]:
    """What a run tells after each part, to `monitor` and to who watches.

    Stats are written now and then, and however the run ends.
    """
    stats = call.stats_json
    begun = ended = False
    with watching(job, call.quiet, monitor) as watch:

        def told(tally: RunSummary, end: int) -> None:
            nonlocal begun
            begun = True
            monitor.saw(tally, end)
            watch(tally, end)
            if stats is not None and monitor.is_due() and (stats.is_file() or not stats.exists()):
                _write_or_say(stats, monitor)

        try:
            yield told
            ended = True
        finally:
            if stats is not None and begun and not ended:
                _write_or_say(stats, monitor)
    if stats is not None:
        write_json(stats, monitor.stats())


def _write_or_say(stats: Path, monitor: Monitor) -> None:
    """Stats that cannot be written end no run, and hide no error that does."""
    try:
        write_json(stats, monitor.stats())
    except OSError as error:
        report(f"{stats}: {error.strerror}; the stats are not written")


@contextmanager
def watching(job: RunConfig, quiet: bool, monitor: Monitor) -> Iterator[Watch]:
    """Progress for a terminal.

    Says, when the run is cut short, what came of it so far and how to go on.
    """
    last: list[RunSummary] = []

    def remember(tally: RunSummary) -> None:
        last[:] = [tally]

    try:
        if quiet or not sys.stderr.isatty():
            yield lambda tally, _: remember(tally)
        else:
            with _bar(job, monitor) as bar:

                def watch(tally: RunSummary, end: int) -> None:
                    remember(tally)
                    bar(tally, end)

                yield watch
    except KeyboardInterrupt:
        print(file=sys.stderr)
        report(f"interrupted after {_done(last):,} records", _cure(job))
        raise
    except (Unfinished, NoEndpointLeft):
        if last and not quiet:
            print(summary(last[0]), file=sys.stderr)
        report(f"ended after {_done(last):,} records, for the reason below", _cure(job))
        raise


def _done(last: list[RunSummary]) -> int:
    return last[0].lines if last else 0


def _cure(job: RunConfig) -> str:
    if job.source and job.output:
        return "the same command with --resume goes on"
    return "the rest was not done; a run from a file to a file (-o) can be taken up with --resume"


@contextmanager
def _bar(job: RunConfig, monitor: Monitor) -> Iterator[Watch]:
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    total = job.source.stat().st_size if job.source is not None and job.source.is_file() else None
    columns = (
        TextColumn("{task.fields[records]:>10,} records"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    state = Text()

    class Two(Progress):
        """How far it is, and below that how well: one line of 80 columns has no room for both."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            yield state

    with Two(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, records=0, rate="")
        first: int | None = None
        began = 0.0

        def watch(tally: RunSummary, end: int) -> None:
            nonlocal first, began
            now = progress.get_time()
            if first is None:
                first, began = (
                    tally.lines,
                    now,
                )  # what a resumed run found done, and the start of the processes, are no rate
            rate = _rate((tally.lines - first) / (now - began)) if now > began else ""
            progress.update(task, completed=end, records=tally.lines, rate=rate)
            state.plain = _state(monitor.stats())

        yield watch


def _state(stats: Stats) -> str:
    """What a person wants to see while it runs."""
    p95 = stats.latency_ms["p95"]
    latency = (
        "" if p95 is None else f"p95 {p95:,.0f} ms  " if p95 >= _FAST else f"p95 {p95:.2f} ms  "
    )
    errors = f"errors {stats.error_rate_pct:.1f} %  " if stats.error_rate_pct else ""
    critical = f"critical {stats.tiers.get('CRITICAL', 0):,}  " if stats.tiers else ""
    return f"{latency}{errors}{critical}health {stats.health}"


def _rate(a_second: float) -> str:
    """Records a second, or a minute where models take their time."""
    if a_second >= _FAST:
        return f"{a_second:,.0f}/s"
    return f"{a_second:.1f}/s" if a_second >= 1 else f"{60 * a_second:.1f}/min"


_FAST = 10
