"""Progress on stderr, when stderr is a terminal: records, rate, and time left by bytes of input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finops_cli.pipeline.session import Job, Watch
    from finops_cli.pipeline.tally import Tally


@contextmanager
def watching(job: Job, quiet: bool) -> Iterator[Watch]:
    """What a run tells after each part. Says, on interruption, how to go on."""
    done = 0

    def remember(tally: Tally) -> None:
        nonlocal done
        done = tally.lines

    try:
        if quiet or not sys.stderr.isatty():
            yield lambda tally, _: remember(tally)
        else:
            with _bar(job) as bar:

                def watch(tally: Tally, end: int) -> None:
                    remember(tally)
                    bar(tally, end)

                yield watch
    except KeyboardInterrupt:
        cure = "the same command with --resume goes on" if job.source and job.output else "its output ends there"
        print(f"\nfinops: interrupted after {done:,} records; {cure}", file=sys.stderr)
        raise


@contextmanager
def _bar(job: Job) -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    total = job.source.stat().st_size if job.source is not None and job.source.is_file() else None
    columns = (
        TextColumn("{task.fields[records]:>10,} records"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, records=0, rate="")
        first: int | None = None
        began = 0.0

        def watch(tally: Tally, end: int) -> None:
            nonlocal first, began
            now = progress.get_time()
            if first is None:
                first, began = tally.lines, now  # what a resumed run found done, and the start of the processes, are no rate
            rate = f"{(tally.lines - first) / (now - began):,.0f}/s" if now > began else ""
            progress.update(task, completed=end, records=tally.lines, rate=rate)

        yield watch
