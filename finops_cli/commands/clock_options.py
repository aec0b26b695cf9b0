"""The options of the close-out clock, and the moment that they give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.options import kb_dir_of
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.clock.facts import AsOf
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.clock import ClockConfig, ClockPolicy

AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Day or moment of the clock: 2026-11-27, 2026-11-27T09:15 (Eastern Time), with an"
        " offset, or now for the time of this machine (default: as_of of each record).",
    ),
]
CalendarOption = Annotated[
    Path | None,
    typer.Option(
        "--calendar",
        metavar="FILE",
        help="TOML or JSON file of the desk with days that change the built-in calendar.",
    ),
]
ClockOption = Annotated[
    str,
    typer.Option(
        "--clock",
        metavar="card|regulation",
        help="Deadline that the plan works against: card, the T+N that the models know, or"
        " regulation, the day of the law (default: card). The line shows both.",
        show_default=False,
    ),
]
_MODES = ("card", "regulation")
_NOW = "now"
_DAYS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOptions:
    """Which moment, calendar and deadline a run uses."""

    as_of: AsOfOption = None
    clock: ClockOption = "card"
    calendar: CalendarOption = None


def clock_config(options: ClockOptions, resumed: Path | None = None) -> ClockConfig:
    """Read the options. Raises UsageError.

    `resumed` is the output that a run continues. `--as-of now` is then the moment of its first
    part, so that all its lines have one moment.
    """
    from finops_cli.pipeline.clock import ClockConfig

    if options.clock not in _MODES:
        raise UsageError(
            f"--clock is {options.clock}. Expected {' or '.join(_MODES)}.",
            "give --clock card or --clock regulation",
        )
    return ClockConfig(
        mode=options.clock,  # type: ignore[arg-type]
        as_of=_first_moment(options.as_of, resumed) or read_as_of(options.as_of),
        calendar_file=options.calendar,
    )


def _first_moment(text: str | None, resumed: Path | None) -> AsOf | None:
    """The moment that an interrupted run took from the local clock; None for another run."""
    from finops_cli.errors import ResumeRefused
    from finops_cli.pipeline.clock import read_local_moment
    from finops_cli.pipeline.resume import made_from

    if text != _NOW or resumed is None:
        return None
    try:
        return read_local_moment(made_from(resumed).clock)
    except ResumeRefused:  # nothing to continue: the run says so, or starts
        return None


def read_as_of(text: str | None) -> AsOf | None:
    """Read --as-of; only the word `now` reads the clock of the machine. Raises UsageError."""
    from finops_cli.clock.facts import AsOf
    from finops_cli.clock.moments import parse_moment, to_eastern

    if text is None:
        return None
    if text == _NOW:
        now = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
        return AsOf(moment=to_eastern(now), source="local_clock")
    try:
        return AsOf(moment=parse_moment(text), source="option")
    except ValueError as error:
        raise UsageError(
            f"--as-of is {text}. Expected a day or a moment that exists.",
            "write it as 2026-11-27, 2026-11-27T09:15 or 2026-11-27T14:15:00Z",
        ) from error


def open_clock(
    context: typer.Context, as_of: str | None, calendar: Path | None
) -> tuple[ClockPolicy, KnowledgeBase]:
    """Open the clock of a command, and its knowledge base. Raises UsageError."""
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.clock import ClockConfig

    kb = load_kb(kb_dir_of(context))
    config = ClockConfig(as_of=read_as_of(as_of), calendar_file=calendar)
    policy = config.open(kb)
    if calendar is not None:
        _name_unchanged(kb, calendar)
    return policy, kb


def _name_unchanged(kb: KnowledgeBase, calendar: Path) -> None:
    """Say on stderr which days of the desk's file change nothing."""
    from finops_cli.pipeline.calendar_file import list_unchanged

    days = list_unchanged(kb.calendar, calendar)
    if days:
        more = f" and {len(days) - _DAYS_SHOWN:,} more" if len(days) > _DAYS_SHOWN else ""
        shown = ", ".join(str(day) for day in days[:_DAYS_SHOWN])
        plural = "day is" if len(days) == 1 else "days are"
        typer.echo(
            f"{calendar}: {len(days):,} {plural} the same in the built-in calendar: {shown}{more}",
            err=True,
        )
