"""The values of the queue and of today, and what the forms of the queue are read as."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.datastructures import QueryParams

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.service.desk.exports_page import EXPORT
from finops_cli.service.desk.forms import Form
from finops_cli.service.desk.queue_actions import Selected, read_request, read_selection
from finops_cli.service.desk.queue_filter import (
    describe_filter,
    list_chips,
    list_choices,
    list_selects,
)
from finops_cli.service.desk.queue_page import Queue, read_asked, view_queue_page
from finops_cli.service.desk.today import FactsCache, Figure, Today, view_today
from finops_cli.service.fails.query import FILTERS, LISTS
from finops_cli.service.fails.queue_index import QueueIndex
from finops_cli.service.problems import ServiceError
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.saved_views import SavedView, delete_view, list_views, save_view
from finops_cli.service.store.sqlite import DATABASE_FILE, connect
from tests.support.stores import EASED, LINES, RAISED, a_queue, a_second_queue, add_file

SETTINGS = load_kb(bundled_kb_dir()).serve


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new database with one uploaded file."""
    open_database(tmp_path, None).close()
    connection = connect(tmp_path / DATABASE_FILE)
    add_file(connection)
    yield connection
    connection.close()


def open_queue(db: sqlite3.Connection, link: str) -> Queue:
    """Return the page behind an address of the queue."""
    asked = read_asked(QueryParams(parse_qsl(urlsplit(link).query)), SETTINGS)
    queue = view_queue_page(db, asked, QueueIndex(), "anna")
    assert queue is not None
    return queue


def names(queue: Queue) -> list[str]:
    return [row.answer.fail_id for row in queue.rows]


def test_pages_lead_forward_and_back(db: sqlite3.Connection) -> None:
    """The next links show every fail once with its place; the previous links lead back."""
    a_queue(db)
    forward = [open_queue(db, "/fails?limit=3")]
    while (link := forward[-1].next) is not None:
        forward.append(open_queue(db, f"{link}&limit=3"))
    places = [row.place for page in forward for row in page.rows]
    assert places == list(range(1, len(LINES) + 1))
    assert len({name for page in forward for name in names(page)}) == len(LINES)
    page = forward[-1]
    for earlier in reversed(forward[:-1]):
        assert page.previous is not None
        page = open_queue(db, f"{page.previous}&limit=3")
        assert names(page) == names(earlier)
        assert [row.place for row in page.rows] == [row.place for row in earlier.rows]
    assert page.previous is None


def test_page_begins_at_any_row(db: sqlite3.Connection) -> None:
    """A link without a cursor leaves out the rows that it says; at most, the last page is left."""
    a_queue(db)
    every, last = names(open_queue(db, "/fails")), len(LINES) - 2
    for at, first in ((0, 1), (4, 5), (last - 1, last), (last, last), (999_999, last)):
        queue = open_queue(db, f"/fails?at={at}&limit=3")
        assert (queue.first, queue.rows[0].place) == (first, first)
        assert names(queue) == every[first - 1 : first + 2]
        assert (queue.previous is None) is (first == 1)
    back = open_queue(db, f"{open_queue(db, '/fails?at=4&limit=3').previous}&limit=3")
    assert names(back) == every[1:4]


def test_filter_is_in_every_link(db: sqlite3.Connection) -> None:
    """The next page, the first page and the export keep the filter; empty fields are left out."""
    a_queue(db)
    queue = open_queue(db, "/fails?tier=CRITICAL&tier=MEDIUM&cusip=&limit=2")
    assert queue.total == len(names(open_queue(db, "/fails?tier=CRITICAL"))) + 3
    assert queue.next is not None
    for link in (queue.next, queue.top, queue.export):
        assert link.partition("?")[2].startswith("tier=CRITICAL&tier=MEDIUM")
        assert "cusip" not in link


def test_unknown_parameter_is_refused() -> None:
    """A parameter that the queue does not have, and a wrong value, are named."""
    for query in ("tiers=HIGH", "tier=high", "at=-1", "at=x", "within_days=soon", "flag=X"):
        with pytest.raises(ServiceError) as caught:
            read_asked(QueryParams(query), SETTINGS)
        assert int(caught.value.status) == 422


def test_cursor_of_another_order_is_refused(db: sqlite3.Connection) -> None:
    """A cursor is good for the order that it was made for."""
    a_queue(db)
    link = open_queue(db, "/fails?limit=3").next
    with pytest.raises(ServiceError, match="cursor"):
        open_queue(db, f"{link}&order=rank")


def test_chips_take_one_filter_away() -> None:
    """Each filter that is set has a link without it, and only it."""
    query = QueryParams("tier=HIGH&tier=LOW&within_days=0&q=F-1&cursor=x&at=100")
    chips = list_chips(query)
    assert [each.text for each in chips] == [
        "Tier: high",
        "Tier: low",
        "Deadline: today or late",
        "Fail has: F-1",
    ]
    assert chips[0].without == "/fails?tier=LOW&within_days=0&q=F-1"


def test_choices_show_what_is_chosen() -> None:
    """The form shows the values of the address, one of another page too."""
    query = QueryParams("category=CNS_FAIL&within_days=-3")
    chosen = {each.name: each.chosen for each in (*list_choices(query), *list_selects(query))}
    assert chosen["category"] == "CNS fail"
    assert chosen["within_days"] == "up to -3"
    assert chosen["tier"] == chosen["decided"] == "any"


@pytest.mark.parametrize("text", ["", "job-1.1", "job-1.1:", "job-1.1:-1", "job-1.1:x", ":1:²"])
def test_selection_that_is_damaged_is_refused(text: str) -> None:
    """A form names each fail with the version that its page showed."""
    with pytest.raises(ServiceError, match="fail is"):
        read_selection(Form({"fail": [text]}), 500)


def test_selection_has_a_bound() -> None:
    """A form selects at least one fail, and no more than a page has."""
    assert read_selection(Form({"fail": ["job-1.1:2"]}), 500) == [Selected("job-1.1", 2)]
    for fails in ([], ["job-1.1:0"] * 501):
        with pytest.raises(ServiceError, match="accepted: 1 to 500"):
            read_selection(Form({"fail": fails}), 500)


def test_form_accepts_or_assigns_and_nothing_else() -> None:
    """The two buttons make the two decisions; an empty name takes the fails away from anybody."""
    assert read_request(Form({"do": ["accept"]})).kind == "accept"
    assert read_request(Form({"do": ["assign"], "assignee": [" ben "]})).assignee == "ben"
    assert read_request(Form({"do": ["assign"], "assignee": [""]})).assignee is None
    with pytest.raises(ServiceError):
        read_request(Form({"do": ["override"]}))


def test_views_belong_to_a_person(db: sqlite3.Connection) -> None:
    """A view replaces one of the same name, and nobody sees those of another person."""
    save_view(db, "anna", SavedView("late", "within_days=-1"), 2)
    save_view(db, "anna", SavedView("late", "within_days=0"), 2)
    save_view(db, "ben", SavedView("mine", "assignee=ben"), 2)
    assert list_views(db, "anna") == [SavedView("late", "within_days=0")]
    assert save_view(db, "anna", SavedView("b", ""), 2)
    assert not save_view(db, "anna", SavedView("c", ""), 2)
    delete_view(db, "anna", "mine")
    assert len(list_views(db, "ben")) == 1


def counts(figures: list[Figure]) -> dict[str, int]:
    return {each.label: each.count for each in figures}


def test_numbers_of_today_are_those_of_their_links(db: sqlite3.Connection) -> None:
    """Each number of the page is the number of fails that its link shows."""
    a_queue(db)
    a_second_queue(db)
    today = view_today(db, "anna", FactsCache())
    assert isinstance(today, Today)
    assert today.before == "job-1"
    figures = [*today.changes, *today.due, *today.eyes, *today.categories, *today.decided]
    for row in today.tiers:
        figures += [row.fails, row.due, row.undecided, row.uncovered]
    assert len(figures) > 25
    for figure in figures:
        assert open_queue(db, figure.link).total == figure.count, figure
    assert counts(today.changes) == {
        "new": 1,
        "in a higher tier": 1,
        "in a lower tier": 1,
        "gone": len(LINES) - 3,
    }
    assert EASED in names(open_queue(db, today.changes[2].link))
    assert RAISED in names(open_queue(db, today.changes[1].link))


def test_today_sees_what_changes_while_it_is_cached(db: sqlite3.Connection) -> None:
    """The kept counts are those of a complete queue; a new queue has its own."""
    cache = FactsCache()
    assert view_today(db, "anna", cache) is None
    a_queue(db)
    first = view_today(db, "anna", cache)
    assert first is not None
    assert first.changes == []
    a_second_queue(db)
    second = view_today(db, "anna", cache)
    assert second is not None
    assert (first.total, second.total) == (len(LINES), 4)


def test_each_filter_has_its_words_on_every_page() -> None:
    """A filter that the API learns has a field and a chip on the queue and on the page of exports;
    a chip takes its own filter away and keeps the others.
    """
    shown = describe_filter(QueryParams(), EXPORT)
    fields = {each.name for each in (*shown.choices, *shown.selects)} | set(shown.texts)
    assert fields == set(FILTERS)
    for name in FILTERS:
        value = LISTS[name][0] if name in LISTS else "x"
        chosen = QueryParams({"job": "job-1", name: value, "order": "rank"})
        [blotter, chip] = describe_filter(chosen, EXPORT).chips
        assert chip.without == "/export?job=job-1&order=rank", name
        assert blotter.text == "Blotter: job-1"
