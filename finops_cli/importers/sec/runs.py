"""How long a CUSIP has been failing: settlement days since its unbroken run of days began, over all
files together.

The settlement days are the dates that occur in the files. The SEC warns that the age of a fail
cannot be told from its files: a row is the balance of all NSCC members. A run is the only age there
is, and it may have begun before the files do.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from operator import itemgetter
from typing import NamedTuple

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage
from finops_cli.importers.sec.parts import SecPart
from finops_cli.importers.sec.rows import Row, SecItem, rows_of
from finops_cli.importers.stream import FileRead, Gap, Note
from finops_cli.verify.schemas import unusable

LONGEST_CLOSURE_DAYS = 5
"""Calendar days from one settlement day to the next, at most: a long weekend makes 4, and one more
is granted.
"""


_UNREADABLE = 0  # a fail has at least one share


class RunHistory(NamedTuple):
    """The quantities of a run up to a day, of which `first` is the index of the oldest one kept.

    The run may go on behind the `kept` of them.
    """

    first: int
    kept: int
    quantities: array[int]

    def rows(self, days: Sequence[str]) -> Iterator[tuple[str, int]]:
        """The days and their quantities, without those that no file has in a readable form."""
        own = days[self.first : self.first + self.kept]
        for day, qty in zip(own, self.quantities, strict=False):
            if qty != _UNREADABLE:
                yield day, qty


class Failing(NamedTuple):
    """A good row, and the age of its run."""

    part: SecPart
    row: Row
    age_days: int
    run_may_be_older: bool
    first_day: str
    """The first day of the run, YYYYMMDD."""
    history: RunHistory | None = None


class _Run(NamedTuple):
    first: int
    last: int
    part: SecPart
    line: int


class Histories:
    """The quantities of the runs that are not over: of the CUSIPs of the latest two days.

    A run keeps its last `limits.HISTORY_ROWS` days.
    """

    def __init__(self) -> None:
        self._before: dict[str, array[int]] = {}
        self._today: dict[str, array[int]] = {}

    def turn(self) -> None:
        """Begin a day, and forget the runs that had no row on the day before."""
        self._before, self._today = self._today, {}

    def extend(self, cusip: str, qty: int | None, age_days: int, today: int) -> RunHistory:
        """Add the quantity of the day with the index `today` to the run of `cusip`."""
        run = self._before.pop(cusip, None) if age_days else None
        if run is None:
            run = array("q")
        elif len(run) == limits.HISTORY_ROWS:
            run = run[1:]  # a copy: the histories of earlier days stay as they are
        run.append(qty or _UNREADABLE)
        self._today[cusip] = run
        return RunHistory(today + 1 - len(run), len(run), run)


class Calendar:
    """The settlement days so far, and each CUSIP's latest run as indices into them."""

    def __init__(self, histories: Histories | None = None) -> None:
        self.days: list[str] = []
        self.histories = histories
        """None where nobody asks for the history of a run."""
        self._runs: dict[str, _Run] = {}
        self._known_since = 0

    def turn_to(self, day: str) -> Gap | None:
        """Make `day`, which is not before any other so far, the current one.

        A Gap when days are missing before it.
        """
        if self.days and self.days[-1] == day:
            return None
        self.days.append(day)
        if self.histories is not None:
            self.histories.turn()
        if len(self.days) == 1 or _calendar_days(self.days[-2], day) <= LONGEST_CLOSURE_DAYS:
            return None
        self._known_since = len(self.days) - 1
        return Gap(self.days[-2], day)

    def same_day(self, cusip: str) -> _Run | None:
        """The run of `cusip` when it has a row on the current day already."""
        run = self._runs.get(cusip)
        return run if run is not None and run.last == len(self.days) - 1 else None

    def extend(self, cusip: str, part: SecPart, line: int) -> tuple[int, bool]:
        """Add the current day to the run of `cusip`.

        Returns its age, and whether it may have begun where no file looks.
        """
        today = len(self.days) - 1
        run = self._runs.get(cusip)
        first = run.first if run is not None and run.last == today - 1 else today
        self._runs[cusip] = _Run(first, today, part, line)
        return today - first, first <= self._known_since


def _calendar_days(earlier: str, later: str) -> int:
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def failing(
    parts: Sequence[SecPart], calendar: Calendar
) -> Iterator[Failing | Damage | FileRead | Gap | Note]:
    """The rows of all files by date, with their ages.

    A damaged row that still names its day and CUSIP keeps the run unbroken.
    """
    for part, item in _by_date(parts):
        if not isinstance(item, Row):
            yield item
            continue
        gap = calendar.turn_to(item.date) if item.date is not None else None
        if gap is not None:
            yield gap
        problems = item.problems
        age, may_be_older = 0, True
        history = None
        if item.date is not None and item.cusip is not None:
            first = calendar.same_day(item.cusip)
            if first is None:
                age, may_be_older = calendar.extend(item.cusip, part, item.line)
                if calendar.histories is not None:
                    today = len(calendar.days) - 1
                    history = calendar.histories.extend(item.cusip, item.qty, age, today)
            else:
                accepted = (
                    f"one row per settlement date and CUSIP; {item.date} has it in"
                    f" {first.part.name}:{first.line} already"
                )
                problems += (unusable("input.duplicate", "CUSIP", item.cusip, accepted),)
        yield (
            Damage(part.shown, item.line, problems)
            if problems
            else Failing(part, item, age, may_be_older, calendar.days[-1 - age], history)
        )


def _by_date(parts: Sequence[SecPart]) -> Iterator[tuple[SecPart, SecItem]]:
    """The items of all parts by date, those of a part that begins earlier first.

    A file is open while its days last. Parts that begin on one day come in the order of their
    names, so that the order of the files on the command line does not matter.
    """
    firsts = sorted(
        ((_first_day(part), part.shown, part.first_line, part) for part in parts),
        key=itemgetter(0, 1, 2),
    )
    for _, part, item in heapq.merge(
        *(_dated(part, day) for day, _, _, part in firsts), key=itemgetter(0)
    ):
        if item is not None:
            yield part, item


def _dated(part: SecPart, first_day: str) -> Iterator[tuple[str, SecPart, SecItem | None]]:
    yield first_day, part, None  # so that the merge does not open the file before its turn
    day = first_day
    for item in in_order(rows_of(part)):
        if isinstance(item, Row) and item.date is not None:
            day = item.date
        yield day, part, item


def _first_day(part: SecPart) -> str:
    with closing(rows_of(part)) as rows:
        return next(
            (row.date for row in in_order(rows) if isinstance(row, Row) and row.date is not None),
            "",
        )


def in_order(items: Iterator[SecItem]) -> Iterator[SecItem]:
    """`items`, with rows whose date is out of order stripped of it and marked.

    One wrong date must not condemn the rest of the file: a row that the two rows after it disagree
    with is itself the wrong one.
    """
    window: deque[tuple[str, Row]] = deque()
    latest = ""
    for item in items:
        if isinstance(item, Row) and item.date is not None:
            window.append((item.date, item))
        while len(window) == 3 or (window and isinstance(item, FileRead)):
            row, latest = _leave(window, latest)
            yield row
        if not isinstance(item, Row) or item.date is None:
            yield item


def _leave(window: deque[tuple[str, Row]], latest: str) -> tuple[Row, str]:
    """Take a row out: the first where it is in order, else the one that is not.

    Returns also the latest date in order.
    """
    (day, first), *after = window
    if not after or after[0][0] >= day:
        window.popleft()
        return first, day
    next_day, second = after[0]
    if len(after) == 2 and latest <= next_day and after[1][0] < day:
        window.popleft()
        return _misplaced(first, f"no date after {next_day}, which the next rows have"), latest
    del window[1]
    return _misplaced(second, f"no date before {day}, which the rows above have reached"), latest


def _misplaced(row: Row, accepted: str) -> Row:
    return replace(
        row,
        date=None,
        problems=(
            *row.problems,
            unusable("import.order", "SETTLEMENT DATE", str(row.date), accepted),
        ),
    )
