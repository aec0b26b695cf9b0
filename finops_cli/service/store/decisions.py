"""The decisions of people about fails. They stand beside the engine's answer and never change it.

A decision is a row that stays; what stands now follows from all of them (`fold`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from finops_cli.service.store.database import Connection, Row

Kind = Literal["accept", "override", "assign", "comment", "close", "reopen", "decline"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Standing = Literal["stands", "proposed", "accepted", "declined"]
"""proposed: an override that waits for a second person; accepted or declined: that person spoke."""
Outcome = Literal["accepted", "overridden"]


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer that an override puts beside the engine's. A field that is null stays as it is."""

    tier: str | None = None
    action: str | None = None
    steps: list[dict[str, Any]] | None = None


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The words and values of a decision."""

    reason: str | None = None
    comment: str | None = None
    assignee: str | None = None
    change: Change | None = None
    broken: tuple[str, ...] = ()
    """The rules that the change breaks, each ticked by whoever made it."""
    of: int | None = None
    """The number of the proposal that an accept or a decline is about."""


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision about a fail."""

    n: int
    kind: Kind
    standing: Standing
    at: str
    by: str
    role: str
    job: str
    """The job whose line was looked at."""
    content: Content
    person: str | None = None
    """The person who holds the token; null: `by` is the person."""


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands for a fail after all its decisions."""

    version: int = 0
    """Grows with each decision, and with each that is deleted."""
    outcome: Outcome | None = None
    change: Change | None = None
    """The values of the override that stands."""
    decided_by: str | None = None
    accepted_by: str | None = None
    """The second person, who accepted the override that `decided_by` proposed."""
    decided_at: str | None = None
    decided_in: str | None = None
    """The job whose line was decided about: the same fail of a later job carries it over."""
    reason: str | None = None
    has_proposal: bool = False
    is_closed: bool = False
    assignee: str | None = None
    comments: int = 0
    comment: str | None = None
    """The last one."""


class VersionConflict(Exception):
    """Somebody else decided in the meantime."""

    def __init__(self, expected: int, state: State) -> None:
        super().__init__(f"the fail has version {state.version}, not {expected}")
        self.state = state


class NoProposal(Exception):
    """There is no proposal with that number, or its own author wants to accept it."""


UNTOUCHED = State()
_NEWEST = 2**53
_MOST_ASSIGNEES = 200


class NewDecision(Struct, frozen=True, kw_only=True):
    """A decision that is to be made, and by whom."""

    kind: Kind
    at: str
    by: str
    person: str | None = None
    role: str
    request_id: str
    key: str
    job: str
    line: int
    fail_id: str
    content: Content
    is_proposal: bool = False
    """An override that stands only when a second person accepts it."""
    expected_version: int | None = None
    """The version that its author saw; None: any."""


def decide(connection: Connection, new: NewDecision) -> tuple[Decision, State, State]:
    """Store a decision. Return it, and what stood before and stands after it.

    Raises VersionConflict, and NoProposal for an accept or decline of something else than the
    proposal of another person.
    """
    before = read_state(connection, new.key)
    if new.expected_version is not None and new.expected_version != before.version:
        raise VersionConflict(new.expected_version, before)
    earlier = list_decisions(connection, new.key)
    if new.content.of is not None:
        _refuse_wrong_proposal(earlier, new)
    [last] = connection.execute(
        "SELECT coalesce(max(n), 0) FROM decisions WHERE key = ?", (new.key,)
    ).fetchone()
    n = max(int(last), before.version) + 1
    connection.execute(
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(new.key, n, new.job, new.line, new.fail_id, new.at, new.by, new.role, new.kind),
            *(new.is_proposal, msgspec.json.encode(new.content).decode(), new.request_id),
            new.person,
        ),
    )
    decisions = list_decisions(connection, new.key)
    after = _keep_state(connection, new.key, decisions, n)
    [made] = [each for each in decisions if each.n == n]
    return made, before, after


def delete_decision(connection: Connection, key: str, n: int) -> Decision | None:
    """Delete a decision for good; what stood before it stands again. None: there is none."""
    found = [each for each in list_decisions(connection, key) if each.n == n]
    if not found:
        return None
    version = read_state(connection, key).version + 1
    connection.execute("DELETE FROM decisions WHERE key = ? AND n = ?", (key, n))
    _keep_state(connection, key, list_decisions(connection, key), version)
    return found[0]


def list_decisions(connection: Connection, key: str, up_to: int = _NEWEST) -> list[Decision]:
    """Return the decisions about a fail in their order, each with whether it stands.

    `up_to`: without those after this number, as they stood then.
    """
    query = "SELECT * FROM decisions WHERE key = ? AND n <= ? ORDER BY n"
    rows = connection.execute(query, (key, up_to)).fetchall()
    contents = {row["n"]: _CONTENT.decode(row["body"]) for row in rows}
    verdict = {
        content.of: row["kind"] for row in rows if (content := contents[row["n"]]).of is not None
    }
    return [
        Decision(
            n=row["n"],
            kind=row["kind"],
            standing=_standing(bool(row["is_proposal"]), verdict.get(row["n"])),
            at=row["at"],
            by=row["who"],
            role=row["role"],
            job=row["job"],
            content=contents[row["n"]],
            person=row["person"],
        )
        for row in rows
    ]


def list_assignees(connection: Connection, at_most: int = _MOST_ASSIGNEES) -> list[str]:
    """Return who has a fail now, by name."""
    rows = connection.execute(
        "SELECT DISTINCT assignee FROM states WHERE assignee IS NOT NULL ORDER BY assignee LIMIT ?",
        (at_most,),
    )
    return [row["assignee"] for row in rows]


def read_state(connection: Connection, key: str) -> State:
    """Return what stands for a fail."""
    return read_states(connection, [key]).get(key, UNTOUCHED)


def read_earlier_state(connection: Connection, key: str, version: int) -> State:
    """Return what stood for a fail at an earlier version, without decisions deleted since."""
    return fold(list_decisions(connection, key, version), version)


def read_states(connection: Connection, keys: Sequence[str]) -> dict[str, State]:
    """Return what stands for each fail that somebody decided about."""
    if not keys:
        return {}
    places = ", ".join("?" * len(keys))
    query = f"SELECT key, body FROM states WHERE key IN ({places})"  # noqa: S608 - no value is in the text
    return {row["key"]: _STATE.decode(row["body"]) for row in connection.execute(query, keys)}


def list_proposals(connection: Connection, at_most: int = 100) -> list[Row]:
    """Return fail_id, job and line of each override that waits for a second person."""
    return connection.execute(
        "SELECT d.fail_id, d.job, d.line, d.n, d.who FROM decisions d JOIN states s ON s.key ="
        " d.key WHERE s.has_proposal = 1 AND d.is_proposal = 1 ORDER BY d.at LIMIT ?",
        (at_most,),
    ).fetchall()


def fold(decisions: Sequence[Decision], version: int) -> State:
    """Return what stands after `decisions`: the last outcome, and the last assignment."""
    known = {each.n: each for each in decisions}
    facts: dict[str, Any] = {"version": version}
    for each in decisions:
        content = each.content
        if each.kind == "assign":
            facts["assignee"] = content.assignee
        elif each.kind in ("close", "reopen"):
            facts["is_closed"] = each.kind == "close"
        elif each.kind == "accept" and content.of is None:
            facts |= _outcome("accepted", each, None)
        elif each.kind == "override" and each.standing == "stands":
            facts |= _outcome("overridden", each, content.change)
        elif each.kind == "accept" and content.of in known:
            facts |= _outcome("overridden", known[content.of], known[content.of].content.change)
            facts["accepted_by"] = each.by
        if content.comment is not None:
            facts["comments"] = facts.get("comments", 0) + 1
            facts["comment"] = content.comment
    facts["has_proposal"] = any(each.standing == "proposed" for each in decisions)
    return State(**facts)


def _outcome(outcome: Outcome, decision: Decision, change: Change | None) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "change": change,
        "decided_by": decision.by,
        "accepted_by": None,
        "decided_at": decision.at,
        "decided_in": decision.job,
        "reason": decision.content.reason,
    }


def _standing(is_proposal: bool, verdict: str | None) -> Standing:
    if not is_proposal:
        return "stands"
    if verdict is None:
        return "proposed"
    return "accepted" if verdict == "accept" else "declined"


def _refuse_wrong_proposal(earlier: Sequence[Decision], new: NewDecision) -> None:
    """Raise NoProposal unless another person made the proposal, and nobody answered it yet."""
    for each in earlier:
        if each.n == new.content.of and each.standing == "proposed":
            if new.kind == "accept" and is_same_person(
                each.person or each.by, new.person or new.by
            ):
                raise NoProposal(f"decision {each.n} is your own; another person must accept it")
            return
    raise NoProposal(f"decision {new.content.of} is not an override that waits for an answer")


def is_same_person(one: str, other: str) -> bool:
    """Return true for names that differ by case or blanks at most."""
    return one.casefold().split() == other.casefold().split()


def _keep_state(
    connection: Connection, key: str, decisions: Sequence[Decision], version: int
) -> State:
    state = fold(decisions, version)
    connection.execute(
        "INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " version = excluded.version, decision = excluded.decision, has_proposal ="
        " excluded.has_proposal, is_closed = excluded.is_closed, assignee = excluded.assignee,"
        " body = excluded.body",
        (
            *(key, version, state.outcome, state.has_proposal, state.is_closed, state.assignee),
            msgspec.json.encode(state).decode(),
        ),
    )
    return state


_CONTENT = msgspec.json.Decoder(Content)
_STATE = msgspec.json.Decoder(State)
