"""The changes since an earlier output: new, cleared, aged, part delivered, escalated fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, get_args

from msgspec import Struct

from finops_cli.domain.enums import EscalationLevel, Tier
from finops_cli.views.answer_index import EVERYTHING, AnswerIndex, Filter
from finops_cli.views.answers import Answer
from finops_cli.views.matching import find_match

Kind = Literal[
    "new", "escalated", "aged", "part_delivered", "grown", "eased", "unusable", "cleared"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order of the sections of a report."""
_TIERS, _LEVELS = get_args(Tier), get_args(EscalationLevel)


class Change(Struct, frozen=True):
    """A fail that is not as it was."""

    kinds: tuple[Kind, ...]
    said: tuple[str, ...]
    """One phrase for each kind: `tier HIGH, now CRITICAL`."""
    answer: Answer
    """The answer of today; the earlier answer where the fail is cleared."""
    before: Answer | None = None


class Changes:
    """Compares the lines of two outputs.

    A fail is matched by its `fail_id`, else by CUSIP, counterparty and settlement date where these
    name one line in each output.
    """

    def __init__(self, today: AnswerIndex, earlier: AnswerIndex) -> None:
        self._today, self._earlier = today, earlier
        self.counts: Counter[Kind] = Counter()
        self.unchanged = 0
        self.unmatched = 0
        """Lines that could be one of several lines of the other output: they count as new."""

    def list(self, wanted: Filter = EVERYTHING) -> Iterator[Change]:
        """Yield the changes of the lines that `wanted` takes: today's by rank, then cleared."""
        for answer in self._today.ranked(wanted):
            before = self._match(answer, self._today, self._earlier)
            change = _compare(answer, before)
            if change is None:
                self.unchanged += 1
            else:
                self.counts.update(change.kinds)
                yield change
        for answer in self._earlier.ranked(wanted):
            if self._match(answer, self._earlier, self._today) is None:
                self.counts["cleared"] += 1
                yield Change(("cleared",), ("not in today's file",), answer)

    def _match(self, answer: Answer, mine: AnswerIndex, other: AnswerIndex) -> Answer | None:
        found, is_unclear = find_match(answer, mine, other)
        self.unmatched += is_unclear and mine is self._today
        return found


def _compare(now: Answer, before: Answer | None) -> Change | None:
    """Return how a fail differs from what it was; None where it does not."""
    if before is None:
        return Change(("new",), ("not in the earlier file",), now)
    found = {kind: said for kind, said in _differences(now, before) if said}
    if not found:
        return None
    kinds = tuple(kind for kind in KINDS if kind in found)
    return Change(kinds, tuple(found[kind] for kind in kinds), now, before)


def _differences(now: Answer, before: Answer) -> Iterator[tuple[Kind, str]]:
    if (now.error is None) != (before.error is None):
        yield "unusable", f"status {before.status}, now {now.status}"
    if now.tier is not None and before.tier is not None and now.tier != before.tier:
        rises = _TIERS.index(now.tier) > _TIERS.index(before.tier)
        yield "escalated" if rises else "eased", f"tier {before.tier}, now {now.tier}"
    elif (
        now.escalation is not None
        and before.escalation is not None
        and _LEVELS.index(now.escalation) > _LEVELS.index(before.escalation)
    ):
        yield "escalated", f"escalate to {now.escalation}, before {before.escalation}"
    if None not in (now.age_factor, before.age_factor) and now.age_factor != before.age_factor:
        yield "aged", f"age {before.age_days}, now {now.age_days} days: another band"
    if now.qty is not None and before.qty is not None and now.qty != before.qty:
        less = before.qty - now.qty
        if less > 0:
            yield "part_delivered", f"{less:,} of {before.qty:,} shares are gone, {now.qty:,} left"
        else:
            yield "grown", f"{before.qty:,} shares, now {now.qty:,}"
