"""Progress of a run on stderr, when stderr is a terminal: records, rate, and time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from finops_cli.commands.messages import report
from finops_cli.commands.run_summary import render_summary
from finops_cli.errors import InputChanged, Unfinished
from finops_cli.files.safe_io import write_json
from finops_cli.models.failures import NoEndpointLeft

if TYPE_CHECKING:
    from types import TracebackType

    from finops_cli.commands.run_options import RunOptions
    from finops_cli.monitoring.monitor import Monitor, Stats
    from finops_cli.monitoring.run_summary import RunSummary
    from finops_cli.pipeline.run import OnBatch, RunConfig


class RunProgress:
    """Shows a run while it lasts, and says how to go on when it is cut short.

    `update` is called after each batch. Statistics (`--stats-json`) are written from time to time,
    and however the run ends.
    """

    def __init__(self, config: RunConfig, options: RunOptions, monitor: Monitor) -> None:
        self._config = config
        self._quiet = options.quiet
        self._stats = options.stats_json
        self._monitor = monitor
        self._summary: RunSummary | None = None
        self._update_bar: OnBatch | None = None
        self._bar = ExitStack()

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._update_bar = self._bar.enter_context(_bar(self._config, self._monitor))
        return self

    def update(self, summary: RunSummary, end: int) -> None:
        """Record that the run has come to `summary`, `end` bytes into its input."""
        self._summary = summary
        self._monitor.update(summary, end)
        if self._update_bar is not None:
            self._update_bar(summary, end)
        stats = self._stats
        if stats is not None and self._monitor.is_due() and (stats.is_file() or not stats.exists()):
            self._try_to_write_stats()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self._summary is not None:
            self._try_to_write_stats()
        self._bar.close()
        if error is None and self._stats is not None:
            write_json(self._stats, self._monitor.stats())
        if isinstance(error, KeyboardInterrupt):
            print(file=sys.stderr)
            self._report(f"interrupted after {self._records:,} records")
        elif isinstance(error, Unfinished | NoEndpointLeft):
            if self._summary is not None and not self._quiet:
                print(render_summary(self._summary), file=sys.stderr)
            if not isinstance(error, InputChanged):  # it has every line
                self._report(f"ended after {self._records:,} records, for the reason below")

    @property
    def _records(self) -> int:
        return 0 if self._summary is None else self._summary.lines

    def _report(self, event: str) -> None:
        if self._config.source and self._config.output:
            cure = "run the same command with --resume to continue"
        else:
            cure = "the rest was not processed; only a run from a file to a file (-o) can --resume"
        report(event, cure)

    def _try_to_write_stats(self) -> None:
        """Write the statistics; a failure ends no run and hides no error that does."""
        if self._stats is None:
            return
        try:
            write_json(self._stats, self._monitor.stats())
        except OSError as error:
            report(f"{self._stats}: {error.strerror}; the statistics are not written")


@contextmanager
def _bar(config: RunConfig, monitor: Monitor) -> Iterator[OnBatch]:
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    total = config.input.length
    columns = (
        TextColumn("{task.fields[records]:>10,} records"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    state = Text()

    class BarAndState(Progress):
        """The bar, and the state of the run below it: one line of 80 columns cannot hold both."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            yield state

    with BarAndState(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, records=0, rate="")
        # the first call comes before any speed: what a resumed run finds done, the processes' start
        start: list[tuple[int, float]] = []

        def update(summary: RunSummary, end: int) -> None:
            now = progress.get_time()
            if not start:
                start.append((summary.lines, now))
            lines, began = start[0]
            rate = _format_rate((summary.lines - lines) / (now - began)) if now > began else ""
            progress.update(task, completed=end, records=summary.lines, rate=rate)
            state.plain = _format_state(monitor.stats())

        yield update


def _format_state(stats: Stats) -> str:
    """Write what a person wants to see during a run."""
    p95 = stats.latency_ms["p95"]
    latency = (
        "" if p95 is None else f"p95 {p95:,.0f} ms  " if p95 >= _FAST else f"p95 {p95:.2f} ms  "
    )
    errors = f"errors {stats.error_rate_pct:.1f} %  " if stats.error_rate_pct else ""
    critical = f"critical {stats.tiers.get('CRITICAL', 0):,}  " if stats.tiers else ""
    return f"{latency}{errors}{critical}health {stats.health}"


def _format_rate(per_second: float) -> str:
    """Write records a second, or a minute where models are slow."""
    if per_second >= _FAST:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"


_FAST = 10
