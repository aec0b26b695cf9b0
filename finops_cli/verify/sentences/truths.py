"""The values that an answer bears out: a set of true ones for each role."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import get_args

from finops_cli.domain.enums import Tier
from finops_cli.kb.bands import BandTable
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.rules.deadlines import parse_t_plus
from finops_cli.verify.sentences.claims import Value

_EDGES = {
    "age": "number:age",
    "value": "number:value",
    "counterparty": "number:cp_rate",
}


@dataclass(slots=True)
class Truths:
    """The statements that an answer supports.

    A claim in a role without an entry, or whose value is in `undecided`, cannot be judged. Any
    other value that `true` does not have is wrong.
    """

    has_record: bool = True
    """False for an answer without its record: then a claim without a role is passed over."""
    true: dict[str, set[Value]] = field(default_factory=dict)
    undecided: dict[str, set[Value]] = field(default_factory=lambda: defaultdict(set))

    def add(self, role: str, *values: Value | int) -> None:
        """Add true values of a role; without values, no value of the role is true."""
        known = self.true.setdefault(role, set())
        known.update(Decimal(each) if isinstance(each, int) else each for each in values)

    limits: dict[str, frozenset[Decimal]] = field(default_factory=dict)
    """The edges of the bands of a role: a text may compare a number with them."""
    given: dict[str, int] = field(default_factory=dict)
    """The shares that each source gives."""
    receives: tuple[tuple[str, Decimal], ...] = ()
    """The participant and the shares of each step of a receive; the step of several has no name."""
    further_receives: int = 0
    """The receives of that step."""
    order: tuple[str, ...] = ()
    """The actions of a plan, first to last."""

    step_parties: tuple[str | None, ...] = ()
    """The participant of each step."""
    party_order: tuple[str, ...] = ()
    """The participants of its steps, first to last."""

    false: set[str] = field(default_factory=set)
    """Statements that the answer refutes. Any other that is not true cannot be judged."""

    def state(self, **statements: bool | None) -> None:
        """Add statements that are true or false; None cannot be judged. A later word counts."""
        self.add("statement")
        for name, holds in statements.items():
            self.true["statement"].discard(name)
            self.false.discard(name)
            if holds:
                self.add("statement", name)
            elif holds is not None:
                self.false.add(name)

    def forget(self, *roles: str) -> None:
        """Remove roles whose true values are not all known."""
        for role in roles:
            self.true.pop(role, None)


def add_edges(truths: Truths, rules: ScoringRules) -> None:
    """Add the edges of the bands of the score, as in "above 75, so it is critical"."""
    tables: dict[str | None, object] = {
        _EDGES.get(each.row.word): each.table for _, each in rules.factors_by_field
    }
    tables |= {"number:coverage": rules.inventory_modifier, "number:score": rules.tier}
    for role, table in tables.items():
        if role is not None and isinstance(table, BandTable):
            truths.limits[role] = frozenset(Decimal(bound.edge) for bound in table.bounds())
    truths.limits["number:age:days"] = truths.limits["number:age"]


def add_tier_limits(truths: Truths, tier: str) -> None:
    """Add the tiers that `tier` is above or below of: "higher than MEDIUM"."""
    tiers = get_args(Tier)
    rank = tiers.index(tier)
    truths.add("tier_above", *tiers[:rank])
    truths.add("tier_below", *tiers[rank + 1 :])


def add_deadline(truths: Truths, deadline: str | None, age: int | None) -> None:
    """Add the deadline T+N and, if the age in days is known, what follows from it."""
    truths.add("day:deadline", *([deadline] if deadline else []))
    truths.state(no_deadline=deadline is None, has_deadline=deadline is not None)
    if age is None:
        return
    truths.add("day:any", f"T+{age}")
    truths.undecided["day:any"] |= {deadline} if deadline else set()
    add_days_left(truths, None if deadline is None else parse_t_plus(deadline) - age)


def add_days_left(truths: Truths, left: int | None) -> None:
    """Add the days left to the deadline, negative when past; None: the fail has no deadline."""
    truths.add("number:left", *([left] if left is not None and left >= 0 else []))
    truths.add("number:overdue", *([-left] if left is not None and left <= 0 else []))
    truths.state(
        past_deadline=None if left == 0 else left is not None and left < 0,
        deadline_reached=left is not None and left <= 0,
        deadline_today=left == 0,
        before_deadline=left is not None and left > 0,
    )
