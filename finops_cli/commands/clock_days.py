"""`finops clock days` and `finops clock threshold`: days, and the way to a threshold list."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.clock_options import CalendarOption, open_clock
from finops_cli.commands.help_examples import show_examples
from finops_cli.errors import UsageError

From = Annotated[str, typer.Argument(metavar="FROM", help="First day, YYYY-MM-DD.")]
To = Annotated[str, typer.Argument(metavar="TO", help="Last day, YYYY-MM-DD.")]


@show_examples(
    "finops clock days 2026-11-23 2026-11-30",
    "finops clock days 2025-01-06 2025-01-10",
)
def days(context: typer.Context, start: From, end: To, calendar: CalendarOption = None) -> None:
    """Print each day of the calendar, and of which kinds it is, as JSON Lines.

    trading: the exchanges open. settlement: trades settle. business: the day counts for customer
    protection (15c3-3). counts_204: it counts for the close-out of Rule 204. reason: why a weekday
    is not of every kind.
    """
    from finops_cli.clock.market_calendar import OutsideCalendar
    from finops_cli.pipeline.clock_lines import list_days
    from finops_cli.pipeline.output import encode

    policy, _ = open_clock(context, None, calendar)
    first, last = (_read_day(name, text) for name, text in (("FROM", start), ("TO", end)))
    if last < first:
        raise UsageError(f"TO is {last}, before FROM, {first}", "give the earlier day first")
    try:
        for line in list_days(policy.calendar, first, last):
            sys.stdout.buffer.write(encode(line))
    except OutsideCalendar as error:
        raise UsageError(str(error), "give days inside, or a file with --calendar") from error


def _read_day(name: str, text: str) -> date:
    from finops_cli.clock.moments import parse_day

    try:
        return parse_day(text)
    except ValueError as error:
        raise UsageError(f"{name} is {text}. Expected a day that exists.", "YYYY-MM-DD") from error


Outstanding = Annotated[
    int | None,
    typer.Option(
        "--shares-outstanding",
        min=1,
        max=10**12,
        metavar="N",
        help="Shares outstanding of the issuer.",
    ),
]
NotReporting = Annotated[
    bool,
    typer.Option(
        "--not-reporting",
        help="The issuer does not report to the SEC: the test is the value in dollars, qty times"
        " last_sale.",
    ),
]
EveryDay = Annotated[
    bool, typer.Option("--explain", help="Print a line for each day, not for the last one alone.")
]
Series = Annotated[
    Path,
    typer.Argument(
        metavar="SERIES",
        help="Fails of one security, a line for each settlement day, also for a day with 0: CSV or"
        " JSON Lines with date, qty and last_sale.",
    ),
]


@show_examples(
    "finops clock threshold examples/clock/series.csv --shares-outstanding 2000000",
    "finops clock threshold examples/clock/series.csv --not-reporting",
)
def threshold(
    context: typer.Context,
    series: Series,
    shares_outstanding: Outstanding = None,
    not_reporting: NotReporting = False,
    explain: EveryDay = False,
    calendar: CalendarOption = None,
) -> None:
    """Show how many days a security is away from a threshold list, or from leaving it.

    finops tests each day of the series and prints the state after the last one.
    """
    from finops_cli.clock.market_calendar import OutsideCalendar
    from finops_cli.clock.refusal import Refused
    from finops_cli.clock.threshold_watch import watch_threshold
    from finops_cli.importers.threshold.series import read_series
    from finops_cli.pipeline.output import encode

    if (shares_outstanding is None) == (not not_reporting):
        raise UsageError(
            "the test needs --shares-outstanding N or --not-reporting, and not both",
            "give --shares-outstanding N; for an issuer that does not report, --not-reporting",
        )
    policy, kb = open_clock(context, None, calendar)
    try:
        found = watch_threshold(read_series(series), shares_outstanding, policy.calendar, kb.clock)
        last = None
        for last in found:
            if explain:
                sys.stdout.buffer.write(encode(last))
        if last is None:
            raise UsageError(f"{series} has no day", "give a line for each settlement day")
        if not explain:
            sys.stdout.buffer.write(encode(last))
    except Refused as refused:
        message = str(refused).removeprefix("clock_facts.")
        raise UsageError(f"{series}: {message}", "correct the line") from refused
    except OutsideCalendar as error:
        raise UsageError(f"{series}: {error}", "give days inside the calendar") from error
