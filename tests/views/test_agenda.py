"""The agenda of the close-out clock: its sections, words, order and width."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from finops_cli.views.agenda import render_agenda
from finops_cli.views.entries import AgendaEntry, RejectedEntry
from tests.support.clock_blocks import COST, IF_SHORT, RIGHT, change_obligation, make_entry

AS_OF = date(2026, 11, 17)
LATE: dict[str, Any] = {
    "state": "breached",
    "due_date": "2026-11-12",
    "days_left": -3,
}
NOTICE: dict[str, Any] = {
    "rule": "SHO-204(c)(1)",
    "citation": "17 CFR 242.204(c)",
    "kind": "notice",
    "remedy": ["notice"],
    "due_time": None,
    "lot": None,
    "confidence": "unverified",
}
OPEN_BOX: dict[str, Any] = {
    "holder": "participant",
    "state": "open",
    "preborrow_required": True,
    "opened": "2026-11-12T09:30",
    "uncured_qty": 1000,
    "purchased_qty": 400,
}


def render(
    *entries: AgendaEntry | RejectedEntry, within: int | None = None, width: int = 120
) -> list[str]:
    return list(render_agenda(entries, AS_OF, within, width))


def section(lines: list[str], title: str) -> list[str]:
    """The lines below the title that begins with `title`, up to the next empty line."""
    start = next(place for place, line in enumerate(lines) if line.startswith(title))
    following = lines[start + 1 :]
    return following[: following.index("")] if "" in following else following


def make_late(fail_id: str, **changes: Any) -> AgendaEntry:
    return make_entry(change_obligation(**{**LATE, **changes}), fail_id=fail_id)


def test_agenda_line_is_the_line_of_the_specification() -> None:
    """A line has the due moment, the rule, the fail, the shares, the remedy, the days left and the
    citation.
    """
    (line,) = section(render(make_entry()), "Due Wed 2026-11-18 (1)")
    assert line == (
        "Wed 2026-11-18 09:30  SHO-204(a)  F-1001  1,000 of 594918104  buy or borrow  1 day"
        "  17 CFR 242.204(a)"
    )


def test_agenda_at_80_columns_indents_the_rest_of_a_line() -> None:
    """At 80 columns, days left and citation follow on a second line, below the rule."""
    assert section(render(make_entry(), width=80), "Due Wed 2026-11-18 (1)") == [
        "Wed 2026-11-18 09:30  SHO-204(a)  F-1001  1,000 of 594918104  buy or borrow",
        "                      1 day  17 CFR 242.204(a)",
    ]


def test_agenda_orders_breaches_then_today_then_days() -> None:
    """The sections are: breached as shown, breached if short, due today, and each later day."""
    lines = render(
        make_entry(change_obligation(due_date="2026-11-20")),
        make_entry(change_obligation(state="due_today", due_date="2026-11-17", days_left=0)),
        make_late("F-3", **IF_SHORT),
        make_entry(change_obligation(due_date="2026-11-19")),
        make_late("F-5"),
    )
    starts = ("Breached, shown", "Breached if short", "Due today", "Due Thu", "Due Fri")
    titles = [line for line in lines if line.endswith("(1)") and line[0] in "BD"]
    assert [title.startswith(start) for title, start in zip(titles, starts, strict=True)] == [
        True
    ] * 5


def test_agenda_within_a_day_orders_by_time_with_none_last() -> None:
    """Within a day an earlier time is first, and an obligation without a time is last."""
    lines = render(
        make_entry(change_obligation(due_time=None), fail_id="F-ALLDAY"),
        make_entry(change_obligation(due_time="12:00"), fail_id="F-NOON"),
        make_entry(fail_id="F-OPEN"),
    )
    order = [line[34:43].split()[0] for line in section(lines, "Due Wed")]
    assert order == ["F-OPEN", "F-NOON", "F-ALLDAY"]


def test_agenda_counts_shown_and_if_short_breaches_apart() -> None:
    """The head counts breaches by given facts apart from those that hold only if short."""
    shown = [make_late(f"S-{number}") for number in range(3)]
    lines = render(*shown, *(make_late(f"U-{number}", **IF_SHORT) for number in range(41)))
    assert lines[1] == "breached if short: 41; shown: 3"
    assert len(section(lines, "Breached, shown by the given facts (3)")) == 3
    assert section(lines, "Breached if short")[1] == (
        " " * 22 + "or Fri 2026-11-20 by SHO-204(a)(1)"
    )


def test_agenda_says_if_a_long_sale_is_late_too() -> None:
    """The other due day of a sale of unknown type says whether it is past; as_of itself is not."""
    other = IF_SHORT["alternatives"][0]
    past, now = ({**other, "due_date": day} for day in ("2026-11-16", "2026-11-17"))
    for given, expected in (
        (past, "or Mon 2026-11-16 by SHO-204(a)(1), also late"),
        (now, "or Tue 2026-11-17 by SHO-204(a)(1)"),
    ):
        lines = render(make_late("F-1", **{**IF_SHORT, "alternatives": [given]}))
        assert section(lines, "Breached if short")[1].strip() == expected


def test_notice_of_an_if_short_breach_is_if_short() -> None:
    """A late notice holds only if short where each missed duty of its holder does."""
    notice = change_obligation(**{**LATE, **NOTICE})
    duty = change_obligation(**{**LATE, **IF_SHORT})
    lines = render(make_entry(duty, notice))
    assert lines[1] == "breached if short: 1; shown: 0; late notices: 1"
    assert not [line for line in lines if line.startswith("Breached, shown")]
    assert any("SHO-204(c)(1)" in line for line in section(lines, "Breached if short"))


def test_notice_of_a_shown_breach_is_shown() -> None:
    """A late notice stands among the shown breaches where a missed duty is shown."""
    notice = change_obligation(**{**LATE, **NOTICE})
    lines = render(make_entry(change_obligation(**LATE), notice))
    assert lines[1] == "breached if short: 0; shown: 1; late notices: 1"
    assert len(section(lines, "Breached, shown by the given facts (1; notices: 1)")) == 3


def test_notice_due_today_of_an_if_short_breach_says_so() -> None:
    """A notice that is due because of a breach if short carries the words `if short`."""
    notice = change_obligation(**NOTICE, state="due_today", due_date="2026-11-17", days_left=0)
    entry = make_entry(change_obligation(**{**LATE, **IF_SHORT}), notice)
    assert section(render(entry), "Due today (0; notices: 1)")[-1].endswith("  if short")


@pytest.mark.parametrize(
    ("within", "due_date", "is_shown"),
    [
        (1, "2026-11-18", True),
        (0, "2026-11-18", False),
        (2, "2026-11-20", False),
        (3, "2026-11-20", True),
        (None, "2028-12-29", True),
        (4_000_000, "2028-12-29", True),
    ],
)
def test_agenda_window_counts_calendar_days(
    within: int | None, due_date: str, is_shown: bool
) -> None:
    """A running obligation is shown if its due day is within so many calendar days of as_of."""
    lines = render(make_entry(change_obligation(due_date=due_date)), within=within)
    assert any(line.startswith("Due ") for line in lines) is is_shown
    assert lines[2] == (
        f"due today: 0; in the window: {int(is_shown)}; later: {int(not is_shown)}; rejected: 0"
    )


def test_agenda_shows_breaches_outside_of_the_window() -> None:
    """A breach and a duty of today are shown in each window."""
    today = change_obligation(state="due_today", due_date="2026-11-17", days_left=0)
    lines = render(make_late("F-2"), make_entry(today), within=0)
    assert section(lines, "Breached, shown")
    assert section(lines, "Due today")


@pytest.mark.parametrize("state", ["cured", "not_applicable"])
def test_agenda_hides_obligations_that_ask_for_nothing(state: str) -> None:
    """An obligation that is cured or does not apply is neither shown nor counted."""
    lines = render(make_entry(change_obligation(state=state, days_left=None)))
    assert "Nothing is breached, due today or due in the window." in lines
    assert "Totals by rule" not in lines


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"days_left": 2}, "2 days  "),
        ({"days_left": 1, "counting": "business days"}, "1 business day  "),
        ({"days_left": 18, "counting": "calendar days"}, "18 calendar days  "),
        ({"state": "not_started"}, "1 day, not started  "),
        ({**LATE, "days_left": -1}, "1 day late  "),
        ({**LATE, "days_left": 0}, "missed today  "),
        ({**LATE, "days_left": None}, "  late  "),
        ({"state": "due_today", "days_left": 0}, "  today  "),
    ],
)
def test_agenda_writes_the_days_left(changes: dict[str, Any], expected: str) -> None:
    """Days left name their kind unless they are settlement days; a breach says how late it is."""
    text = "\n".join(render(make_entry(change_obligation(**changes))))
    assert expected in text


def test_agenda_notes_name_holder_lot_and_assumed_facts() -> None:
    """A line names a holder other than the participant, one of several lots, and assumed facts."""
    first = change_obligation(holder="BD-7", assumed=["settlement_date"])
    lines = render(make_entry(first, change_obligation(lot="2026-11-16", due_date="2026-11-19")))
    line, notes = section(lines, "Due Wed")
    assert line.endswith("  held by BD-7")
    assert notes.strip() == "lot 2026-11-17  assumed: settlement date"


def test_agenda_line_of_another_as_of_names_it() -> None:
    """A fail whose record has another as_of than the agenda says which."""
    lines = render(make_entry(as_of="2026-11-16T00:00"), width=160)
    assert section(lines, "Due Wed")[0].endswith("as of Mon 2026-11-16")


def test_agenda_shows_open_shares_and_symbol() -> None:
    """The quantity is what is still open, and the symbol follows the CUSIP."""
    lines = render(make_entry(change_obligation(open_qty=400), symbol="MSFT"))
    assert "  400 of 594918104 MSFT  " in section(lines, "Due Wed")[0]


def test_agenda_lists_open_boxes_only() -> None:
    """A box that is open or closing says what leads out; one that is released is not shown."""
    closing = {**OPEN_BOX, "holder": "BD-7", "state": "closing", "purchased_qty": 1000}
    released = {**OPEN_BOX, "holder": "BD-8", "state": "released"}
    lines = render(make_entry(penalty_boxes=[OPEN_BOX, closing, released]))
    found = section(lines, "Penalty boxes since the day shown: borrow before any short sale (2)")
    assert found[0].split("  ")[:3] == ["Thu 2026-11-12 09:30", "SHO-204(b)", "F-1001"]
    assert "buy 600 and settle" in found[0]
    assert "17 CFR 242.204(b)" in found[0]
    assert "wait for settlement" in found[1]
    assert found[1].endswith("held by BD-7")


def test_agenda_box_of_an_if_short_breach_says_so() -> None:
    """A box that only an unproved short sale opened carries the words `if short`."""
    unknown = make_entry(change_obligation(**{**LATE, **IF_SHORT}), penalty_boxes=[OPEN_BOX])
    given = make_entry(change_obligation(**LATE), penalty_boxes=[OPEN_BOX], fail_id="F-2")
    first, second = section(render(unknown, given), "Penalty boxes")
    assert ("F-2" in first, "if short" in first) == (True, False)
    assert ("F-1001" in second, "if short" in second) == (True, True)


def test_agenda_lists_threshold_fails_that_need_a_borrow() -> None:
    """A threshold fail past its thirteenth day stands among the boxes, with its citation."""
    threshold = {
        "rule": "SHO-203(b)(3)",
        "days_counted": 13,
        "days_needed": 13,
        "first_day": "2026-10-29",
        "last_day": "2026-11-16",
        "due_date": "2026-11-17",
        "persistent_qty": 700,
        "preborrow_required": True,
    }
    duty = change_obligation(rule="SHO-203(b)(3)", citation="17 CFR 242.203(b)(3)")
    (line,) = section(render(make_entry(duty, threshold=threshold)), "Penalty boxes")
    assert " ".join(line.split()) == (
        "Mon 2026-11-16 SHO-203(b)(3) F-1001 700 of 594918104 buy 700 17 CFR 242.203(b)(3)"
    )


def test_agenda_lists_rights_that_open_in_the_window() -> None:
    """A right is shown if its first notice or execution day is in the window; older are counted."""
    old = {**RIGHT, "earliest_notice_date": "2026-11-02", "earliest_execution_date": "2026-11-04"}
    far = {**RIGHT, "earliest_notice_date": "2026-11-24", "earliest_execution_date": "2026-11-27"}
    now = {**RIGHT, "holder": "ours", "earliest_notice_date": "2026-11-16"}
    lines = render(make_entry(rights=[RIGHT, now, old, far]), within=3)
    found = "\n".join(section(lines, "Rights that open in the window (2)"))
    assert "the counterparty may give notice by 12:00 and buy in from Fri 2026-11-20" in found
    assert "Fri 2026-11-20  FINRA-11810" in found
    assert "we may buy in\n" in found
    assert found.endswith("Rights that opened before the window: 1")


def test_agenda_lists_costs_apart_from_obligations() -> None:
    """Costs that begin in the window have lines; those in force are summed by rule."""
    charge = {
        **COST,
        "rule": "NSCC-fails-charge",
        "from_date": "2026-11-16",
        "in_force": True,
        "amount_usd": Decimal("1234.50"),
        "rate_pct": Decimal(5),
        "effective": "approved 2025-11-25, start not verified",
    }
    lines = render(make_entry(costs=[COST, charge, charge]))
    assert section(
        lines, "Costs that begin: charges on capital or margin, not obligations (1)"
    ) == [
        (
            "Tue 2026-11-24  15c3-1(c)(2)(ix)  F-1001  594918104  17 CFR 240.15c3-1(c)(2)(ix)"
            "  5 business days after settlement date"
        )
    ]
    assert section(lines, "Costs in force") == [
        "NSCC-fails-charge  2 lots; estimate $2,469.00; approved 2025-11-25, start not verified"
    ]


def test_agenda_totals_count_each_rule() -> None:
    """The totals have a line for each rule, with counts by section and the shares due."""
    lines = render(
        make_late("F-1"),
        make_late("F-2", **IF_SHORT),
        make_entry(),
        make_entry(change_obligation(rule="15c3-3(m)", due_date="2026-12-02", days_left=10)),
        within=7,
    )
    assert [line.split() for line in section(lines, "Totals by rule")] == [
        ["rule", "shown", "if", "short", "today", "in", "the", "window", "later", "shares", "due"],
        ["15c3-3(m)", "0", "0", "0", "0", "1", "0"],
        ["SHO-204(a)", "1", "1", "0", "1", "0", "3,000"],
    ]


def test_agenda_names_the_cards_date_as_the_cards() -> None:
    """The law's date comes first, and T+N is called the card's; the widest gap is the example."""
    less = {"deadline": "T+6", "date": "2026-11-23", "later_than_law_by": 3}
    none = {"deadline": None, "date": None, "later_than_law_by": None}
    equal = [make_entry(fail_id=name) for name in ("F-2", "F-3")]
    lines = render(make_entry(card=less), *equal, make_entry(card=none))
    text = " ".join(lines)
    assert (
        "The law's date binds. The card's T+N is later than it for 3 of 4 fails, by at most 12"
        " settlement days: F-2, law Wed 2026-11-18, card's T+13 Mon 2026-12-07."
    ) in text


def test_agenda_lists_rejected_records_at_the_end() -> None:
    """A rejected record is shown with its message, without control characters."""
    lines = render(
        RejectedEntry("F-9", "settlement_date is 2026-11-11\x1b[2J.\nExpected a settlement day."),
        RejectedEntry(None, "not JSON"),
    )
    assert section(lines, "Rejected: these records have no dates (2)") == [
        r"F-9  settlement_date is 2026-11-11\x1b[2J. Expected a settlement day.",
        "(no fail_id)  not JSON",
    ]


def test_agenda_explains_each_confidence_once() -> None:
    """Each confidence that is not verified has a mark on its lines and one footnote."""
    weak = [
        make_entry(change_obligation(confidence="unverified", due_date=f"2026-11-{day}"))
        for day in (19, 20)
    ]
    lines = render(make_entry(rights=[RIGHT]), *weak)
    notes = [line for line in lines if line.startswith(("secondary:", "unverified:", "interpret"))]
    assert notes == [
        "secondary: only commentaries say so.",
        "unverified: from memory; counsel should confirm it.",
    ]
    assert sum("17 CFR 242.204(a) (unverified)" in line for line in lines) == 2


def test_agenda_names_the_calendar() -> None:
    """The last lines name the calendar that counted, with its digest."""
    assert render(make_entry())[-1] == f"Calendar builtin-2026.1, sha256 {'ab' * 32}, overrides 0"


@pytest.mark.parametrize("width", [80, 120])
def test_agenda_lines_keep_the_width(width: int) -> None:
    """No line is longer than the width, however long the identifiers are, and none ends in a
    space.
    """
    long_id = "F-" + "9" * 126
    entries = (
        make_entry(change_obligation(**{**LATE, **IF_SHORT}), fail_id=long_id, symbol="BRK.B"),
        make_entry(penalty_boxes=[OPEN_BOX], rights=[RIGHT], costs=[COST]),
        RejectedEntry(long_id, "word " * 60),
    )
    lines = render(*entries, width=width)
    assert [line for line in lines if len(line) > width or line != line.rstrip()] == []
    assert long_id in "".join(line.strip() for line in lines)


def test_agenda_does_not_depend_on_the_order_of_the_input() -> None:
    """The obligations of a section have the same order for each order of the input."""
    entries = [make_late(f"F-{number}", rule=f"R-{number % 2}") for number in range(6)]
    given, turned = (section(render(*each), "Breached, shown") for each in (entries, entries[::-1]))
    assert given == turned
    assert [line.split()[3] for line in given] == ["R-0"] * 3 + ["R-1"] * 3
