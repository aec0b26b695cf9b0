"""The rows of jobs, fails and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from finops_cli.service.auth.tokens import utc_now
from finops_cli.service.store.answers import Claim, KeptAnswer, OtherContent, answer_once
from finops_cli.service.store.audit import Actor
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import (
    Change,
    Content,
    Kind,
    NewDecision,
    NoProposal,
    State,
    VersionConflict,
    decide,
    delete_decision,
    list_decisions,
    read_state,
)
from finops_cli.service.store.fail_query import (
    BadCursor,
    FailFilter,
    Order,
    count_fails,
    read_page,
)
from finops_cli.service.store.fails import (
    CHANGES,
    FLAGS,
    NewFails,
    Place,
    find_fail,
    mark_bits,
    mark_gone,
    same_fail,
)
from finops_cli.service.store.jobs import (
    latest_queue,
    next_job,
    read_job,
    update_job,
)
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.postgres.connection import PostgresConnection, read_address
from finops_cli.service.store.sqlite import DATABASE_FILE, connect
from finops_cli.views.answer_index import AnswerIndex
from finops_cli.views.answers import Answer
from tests.support.stores import EASED, LINES, NOW, RAISED, a_job, a_queue, a_second_queue, add_file

TOO_LARGE = "WyJzY29yZSIsMTAwMDAwMDAwMDAwMDAwMDAwMDAwLCJGIiwxXQ"
"""The cursor of a number that no database holds."""
ANNA, BEN = Actor("anna", "analyst", "r-1"), Actor("ben", "analyst", "r-2")


@pytest.fixture
def db(tmp_path: Path, store: str | None) -> Iterator[Connection]:
    """A connection to a new database, with one uploaded file."""
    open_database(tmp_path, store).close()
    connection = (
        connect(tmp_path / DATABASE_FILE)
        if store is None
        else PostgresConnection(read_address(store))
    )
    add_file(connection)
    yield connection
    connection.close()


def new(
    kind: Kind,
    by: Actor = ANNA,
    *,
    expected: int | None = None,
    proposal: bool = False,
    **content: object,
) -> NewDecision:
    return NewDecision(
        kind=kind,
        at=NOW,
        by=by.who,
        person=by.person,
        role=by.role,
        request_id=by.request_id,
        key="k",
        job="job-1",
        line=1,
        fail_id="F-1",
        content=Content(**content),  # type: ignore[arg-type]
        is_proposal=proposal,
        expected_version=expected,
    )


OVERRIDE = {"change": Change(tier="LOW"), "reason": "delivered by hand"}


def names(db: Connection, job: str, **wanted: Any) -> list[str]:
    return [row.answer.fail_id for row in read_page(db, job, FailFilter(**wanted)).rows]


def test_changes_since_the_queue_before_are_marked(db: Connection) -> None:
    """A fail is new, or its tier rose or fell; what is not there any more is gone."""
    first, second = a_queue(db), a_second_queue(db)
    assert names(db, first.id, changes=("NEW",)) == []
    assert names(db, second.id, changes=("NEW",)) == ["F-NEW"]
    assert names(db, second.id, changes=("RAISED",)) == [RAISED]
    assert names(db, second.id, changes=("EASED",)) == [EASED]
    every, left = names(db, first.id), names(db, second.id)
    assert set(names(db, first.id, changes=("GONE",))) == set(every) - set(left)


def test_gone_fails_are_marked_in_parts(db: Connection) -> None:
    """Each part marks its own lines and says whether more follow."""
    first, second = a_queue(db), a_job(db)
    assert mark_gone(db, second.id, 1, 3)
    assert len(names(db, first.id, changes=("GONE",))) == 3
    assert not mark_gone(db, second.id, 4, len(LINES))
    assert len(names(db, first.id, changes=("GONE",))) == len(LINES)


def steps_of_comparison(folder: Path, earlier: int) -> int:
    """Return the hundreds of steps that SQLite takes to compare 200 fails with `earlier` ones."""
    folder.mkdir()
    open_database(folder, None).close()
    steps: list[int] = []
    answer = Answer(fail_id="", status="ok", cusip="037833100", tier="HIGH")
    rows = [(replace(answer, fail_id=f"F-{n}"), Place(n, 0, 1)) for n in range(1, earlier + 1)]
    with closing(connect(folder / DATABASE_FILE)) as db:
        add_file(db)
        first, second = a_job(db), a_job(db)
        NewFails(first.id, rows).insert(db)
        update_job(db, first.id, state="completed")
        db.set_progress_handler(lambda: steps.append(1), 100)
        NewFails(second.id, rows[:200]).compare(db)
    return len(steps)


def test_comparison_reads_few_rows_of_the_queue_before(tmp_path: Path) -> None:
    """A chunk is compared by the keys of its fails: the work does not grow with the queue before,
    or an import would read that queue whole for each chunk, and decisions wait for it.
    """
    few, many = (steps_of_comparison(tmp_path / f"{n}", n) for n in (200, 2_000))
    assert many < 1.5 * few


def test_queue_before_may_change_after_the_comparison(db: Connection) -> None:
    """Fails are compared before the transaction; where the queue before is deleted meanwhile, they
    are compared again with the one that is the last now.
    """
    first, second, third = (a_job(db) for _ in range(3))
    high = Answer(fail_id="F-1", status="ok", cusip="037833100", tier="HIGH")
    for job, answer in ((first, replace(high, tier="LOW")), (second, high)):
        NewFails(job.id, [(answer, Place(1, 0, 1))]).insert(db)
        update_job(db, job.id, state="completed")
    fails = NewFails(third.id, [(high, Place(1, 0, 1))])
    fails.compare(db)
    update_job(db, second.id, deleted=NOW)
    fails.insert(db)
    assert names(db, third.id, changes=("RAISED",)) == ["F-1"]


def test_fail_without_a_name_is_neither_new_nor_gone(db: Connection) -> None:
    """A line that cannot be used is known by its place only, and says nothing about the next."""
    a_queue(db)
    unnamed = Answer(fail_id="F-1", status="rejected")
    jobs = [a_job(db), a_job(db)]
    for job in jobs:
        NewFails(job.id, [(unnamed, Place(1, 0, 1))]).insert(db)
        mark_gone(db, job.id, 1, 10)
        update_job(db, job.id, state="completed")
    assert names(db, jobs[0].id) == ["F-1"]
    for job in jobs:
        assert names(db, job.id, changes=("NEW", "GONE")) == []


def test_flags_and_residuals_are_filters(db: Connection) -> None:
    """A filter by flags takes the fails that have one of them, one by residual those with shares
    that nothing covers.
    """
    job = a_queue(db)
    answers = [row.answer for row in read_page(db, job.id).rows]
    flagged = [each.fail_id for each in answers if {"HIGH_VALUE", "AGED_FAIL"} & set(each.flags)]
    assert flagged
    assert names(db, job.id, flags=("HIGH_VALUE", "AGED_FAIL")) == flagged
    uncovered = [each.fail_id for each in answers if each.residual]
    assert uncovered
    assert names(db, job.id, has_residual=True) == uncovered
    assert len(names(db, job.id, has_residual=False)) == len(LINES) - len(uncovered)
    second = a_second_queue(db)
    assert "F-NEW" in names(db, second.id, flags=("WARNING",))


def test_places_of_marks_never_change() -> None:
    """The bits are in databases: a new mark comes last."""
    assert {name: mark_bits((name,)) for name in (*FLAGS, *CHANGES)} == {
        "THRESHOLD_SECURITY": 1,
        "REG_SHO_CLOSEOUT": 2,
        "PROBLEM_CP": 4,
        "HIGH_VALUE": 8,
        "AGED_FAIL": 16,
        "WARNING": 32,
        "PROMISED_BEFORE": 64,
        "ASSUMED": 128,
        "NEW": 256,
        "RAISED": 512,
        "EASED": 1024,
        "GONE": 2048,
    }


@pytest.mark.parametrize("size", [1, 3, 100])
def test_pages_by_rank_have_the_order_of_list(db: Connection, size: int) -> None:
    """Pages of any size give every fail once, in the order of `finops list`."""
    job = a_queue(db)
    index = AnswerIndex(LINES)
    expected = [each.fail_id for each in index.ranked()]
    index.close()
    found, cursor = [], None
    while True:
        page = read_page(db, job.id, order="rank", cursor=cursor, at_most=size)
        found += [row.answer.fail_id for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert found == expected


def test_pages_by_score_begin_with_the_highest(db: Connection) -> None:
    """The order by score falls, and lines without an answer come last."""
    page = read_page(db, a_queue(db).id)
    scores = [row.answer.score for row in page.rows]
    known = [each for each in scores if each is not None]
    assert known == sorted(known, reverse=True)
    assert scores[: len(known)] == known


@pytest.mark.parametrize(
    ("wanted", "test"),
    [
        (FailFilter(tiers=("CRITICAL",)), lambda a: a.tier == "CRITICAL"),
        (FailFilter(categories=("CNS_FAIL",)), lambda a: a.category == "CNS_FAIL"),
        (FailFilter(statuses=("rejected",)), lambda a: a.status == "rejected"),
        (FailFilter(cusip="594"), lambda a: (a.cusip or "").startswith("594")),
        (FailFilter(within_days=0), lambda a: a.days_left is not None and a.days_left <= 0),
        (FailFilter(text="f-100"), lambda a: "F-100" in a.fail_id),
        (FailFilter(text="%"), lambda a: "%" in a.fail_id),
        (FailFilter(decided="none"), lambda a: True),
        (FailFilter(decided="any"), lambda a: False),
    ],
)
def test_filter_takes_the_fails_that_it_names(
    db: Connection, wanted: FailFilter, test: object
) -> None:
    """A filter takes exactly the fails with its values, and the counts agree with the page."""
    job = a_queue(db)
    every = [row.answer for row in read_page(db, job.id).rows]
    expected = {each.fail_id for each in every if test(each)}  # type: ignore[operator]
    page = read_page(db, job.id, wanted)
    assert {row.answer.fail_id for row in page.rows} == expected
    assert count_fails(db, job.id, wanted)["total"]["fails"] == len(page.rows)


@pytest.mark.parametrize("cursor", ["x", "", "bm8", "W10", "WyJyYW5rIiwxLCJGIiwxXQ", TOO_LARGE])
def test_damaged_cursor_is_refused(db: Connection, cursor: str) -> None:
    """A cursor that is not one of this order is refused, and never read as another page."""
    order: Order = "score"
    with pytest.raises(BadCursor):
        read_page(db, a_queue(db).id, order=order, cursor=cursor)


def test_fail_is_found_by_id_and_by_name(db: Connection) -> None:
    """A fail is found by the id of its row, and by its name in a job; nothing else is found."""
    job = a_queue(db)
    row = read_page(db, job.id).rows[0]
    assert find_fail(db, row.id, None) == row
    assert find_fail(db, row.answer.fail_id, job.id) == row
    for wrong in ("job-1.0", "job-1.9999", "job-9.1", "job-1.", "job-1", ".", "", "job-1.x"):
        assert find_fail(db, wrong, job.id) is None


def test_same_fail_of_a_later_job_is_found(db: Connection) -> None:
    """A fail with the same name, CUSIP and counterparty keeps its key in the next job."""
    first, second = a_queue(db), a_queue(db)
    row = read_page(db, second.id).rows[0]
    assert [each.job for each in same_fail(db, row.key)] == [second.id, first.id]
    assert latest_queue(db) == read_job(db, second.id)


def test_interrupted_job_goes_first(db: Connection) -> None:
    """A job that was interrupted goes on before those that wait, and then the oldest."""
    first, second, third = a_job(db), a_job(db), a_job(db)
    update_job(db, third.id, state="interrupted")
    for expected in (third, first, second):
        found = next_job(db, "engine")
        assert found is not None
        assert found.id == expected.id
        update_job(db, found.id, state="completed")
    assert next_job(db, "engine") is None


def test_state_follows_from_all_decisions(db: Connection) -> None:
    """The last outcome, assignment and comment stand; each decision raises the version."""
    decide(db, new("assign", assignee="ben"))
    decide(db, new("comment", comment="called"))
    decide(db, new("accept"))
    _, before, after = decide(db, new("override", **OVERRIDE))
    decide(db, new("close"))
    assert (before.outcome, after.outcome, after.change) == (
        "accepted",
        "overridden",
        Change(tier="LOW"),
    )
    state = read_state(db, "k")
    assert (state.version, state.assignee, state.comments, state.is_closed) == (5, "ben", 1, True)


def test_decision_on_an_old_version_is_refused(db: Connection) -> None:
    """Whoever decides on what another person has changed meanwhile gets the present state."""
    decide(db, new("accept", expected=0))
    with pytest.raises(VersionConflict) as caught:
        decide(db, new("override", BEN, expected=0, **OVERRIDE))
    assert caught.value.state.outcome == "accepted"
    assert len(list_decisions(db, "k")) == 1


def test_proposal_stands_when_another_person_accepts(db: Connection) -> None:
    """With four eyes the engine's answer stands until another person accepts the override."""
    made, _, state = decide(db, new("override", proposal=True, **OVERRIDE))
    assert (made.standing, state.has_proposal, state.outcome) == ("proposed", True, None)
    with pytest.raises(NoProposal, match="your own"):
        decide(db, new("accept", of=made.n))
    _, _, state = decide(db, new("accept", BEN, of=made.n))
    assert (state.outcome, state.has_proposal, state.decided_by) == ("overridden", False, "anna")
    with pytest.raises(NoProposal, match="waits"):
        decide(db, new("accept", BEN, of=made.n))


def test_person_with_two_tokens_is_one_person(db: Connection) -> None:
    """A further token of the author accepts nothing, however its person is written."""
    author, second = ANNA._replace(person="Anna  Bell"), BEN._replace(person="anna bell")
    made, _, _ = decide(db, new("override", author, proposal=True, **OVERRIDE))
    with pytest.raises(NoProposal, match="your own"):
        decide(db, new("accept", second, of=made.n))
    assert decide(db, new("accept", BEN, of=made.n))[2].outcome == "overridden"


def test_declined_proposal_changes_nothing(db: Connection) -> None:
    """A proposal that somebody declined does not stand."""
    made, _, _ = decide(db, new("override", proposal=True, **OVERRIDE))
    _, _, state = decide(db, new("decline", BEN, of=made.n, reason="no"))
    assert (state.outcome, state.has_proposal) == (None, False)
    assert list_decisions(db, "k")[0].standing == "declined"


def test_deleted_decision_gives_way_to_the_earlier(db: Connection) -> None:
    """What stood before a deleted decision stands again, under a new version and number."""
    decide(db, new("accept"))
    made, _, _ = decide(db, new("override", **OVERRIDE))
    deleted = delete_decision(db, "k", made.n)
    assert deleted is not None
    assert deleted.kind == "override"
    state = read_state(db, "k")
    assert (state.outcome, state.version) == ("accepted", 3)
    again, _, _ = decide(db, new("comment", comment="c"))
    assert again.n == 4
    assert delete_decision(db, "k", made.n) is None


def test_request_with_a_key_is_done_once(db: Connection) -> None:
    """The same key gives the kept answer; other content is refused; the key is free a day later."""
    done: list[int] = []

    def work(connection: Connection) -> KeptAnswer:
        done.append(1)
        return KeptAnswer(201, {"Location": "/x"}, b"{}")

    claim, now = Claim("anna", "key", "digest"), utc_now()
    first = answer_once(db, claim, now, 60, work)
    again = answer_once(db, claim, now, 60, work)
    assert (again.body, again.is_replayed, len(done)) == (first.body, True, 1)
    with pytest.raises(OtherContent):
        answer_once(db, claim._replace(digest="other"), now, 60, work)
    answer_once(db, claim._replace(who="ben", digest="other"), now, 60, work)
    assert len(done) == 2


def test_state_of_no_decision_is_untouched(db: Connection) -> None:
    """A fail that nobody decided about has version 0."""
    assert read_state(db, "k") == State()
