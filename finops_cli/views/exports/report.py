"""The content of a file for people: the list, the changes, and the sources of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, get_args

from finops_cli.domain.enums import Tier
from finops_cli.kb.entries import AnyEntry
from finops_cli.version import __version__
from finops_cli.views.answer_index import EVERYTHING, AnswerIndex, Filter
from finops_cli.views.answers import Answer
from finops_cli.views.changes import Changes
from finops_cli.views.details import Plan
from finops_cli.views.tally import Part
from finops_cli.views.wording import clean, read_day, write_counts

_PARTS: dict[Part, str] = {
    "backend": "Answered by",
    "model": "Model",
    "kb": "Rules version",
    "calendar": "Calendar",
    "assumed": "Assumed field",
    "derived": "Derived field",
    "warning": "Contradiction",
}


class SourceRow(NamedTuple):
    """A row of the sources."""

    part: str
    name: str
    """The id of a rule; else empty."""
    value: str
    lines: int | None = None
    """Lines that rest on it."""
    source: str = ""
    """Where a rule comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A list that is ready to be written."""

    index: AnswerIndex
    """Read with `has_details`."""
    kb: Mapping[str, AnyEntry]
    """The entries that give rules their titles and sources."""
    kb_version: str
    columns: tuple[str, ...]
    wanted: Filter = EVERYTHING
    limit: int | None = None
    changes: Changes | None = None
    origin: Sequence[tuple[str, str]] = field(default=())
    """Names and digests of the files, as pairs of label and text."""

    def rows(self) -> Iterator[tuple[Answer, Plan | None]]:
        """Yield the fails of the list in their order, with their plans."""
        return self.index.ranked_plans(self.wanted, self.limit)

    def answers(self) -> Iterator[Answer]:
        """Yield the fails of the list in their order."""
        return self.index.ranked(self.wanted, self.limit)

    def moment(self) -> str | None:
        """Return the last moment that the records were true at; None where none is known."""
        return self.index.tally.last_moment

    def sources(self) -> Iterator[SourceRow]:
        """Yield what the answers rest on: files, rules, models, moment, assumptions."""
        tally = self.index.tally
        for label, text in self.origin:
            yield SourceRow(label, "", clean(text))
        yield SourceRow("Written by", "", f"finops {__version__}")
        yield SourceRow("Lines by status", "", write_counts(self.index.statuses))
        yield SourceRow("True as of", "", self._moments(), tally.lines - tally.without_moment)
        for part, label in _PARTS.items():
            for value, lines in _sort(tally.counts.get(part, {})):
                yield SourceRow(label, "", clean(value), lines)
        if tally.unread:
            text = "lines whose plan and origin have an unknown shape"
            yield SourceRow("Not shown", "", text, tally.unread)
        if tally.left_out:
            yield SourceRow("Not shown", "", "more values of the rows above", tally.left_out)
        yield from self._rules()

    def _rules(self) -> Iterator[SourceRow]:
        for rule, lines in sorted(self.index.tally.counts.get("rule", {}).items()):
            entry = self.kb.get(rule)
            if entry is None:
                text = f"not in the rules {self.kb_version}"
                yield SourceRow("Rule", clean(rule), text, lines)
                continue
            said = [entry.source, entry.citation, entry.confidence]
            source = "; ".join(clean(part) for part in said if part)
            yield SourceRow("Rule", rule, clean(entry.title), lines, source)

    def _moments(self) -> str:
        tally = self.index.tally
        if tally.first_moment is None or tally.last_moment is None:
            return "not known: the records have no as_of"
        first, last = (write_moment(each) for each in (tally.first_moment, tally.last_moment))
        text = first if first == last else f"{first} to {last}"
        if tally.without_moment:
            text += f"; not known for {tally.without_moment:,} lines"
        return text


@dataclass(slots=True)
class Totals:
    """The numbers at the head of a page."""

    shown: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    value_by_tier: dict[str, Decimal] = field(default_factory=dict)
    """US dollars."""
    due: int = 0
    """Fails due today or overdue."""
    unusable: int = 0
    """Lines that are rejected or failed."""


def count_totals(report: Report) -> Totals:
    """Count the fails of a list by tier, in one pass."""
    totals = Totals(tiers=dict.fromkeys(reversed(get_args(Tier)), 0))
    for answer in report.index.ranked(report.wanted, report.limit):
        totals.shown += 1
        totals.unusable += answer.error is not None
        totals.due += answer.days_left is not None and answer.days_left <= 0
        if answer.tier is not None:
            totals.tiers[answer.tier] += 1
            known = totals.value_by_tier.get(answer.tier, Decimal(0))
            totals.value_by_tier[answer.tier] = known + (answer.market_value or 0)
    return totals


def write_moment(moment: str) -> str:
    """Write a moment of a clock, which is Eastern Time: 2026-11-17 08:30 ET, or the day alone."""
    day, _, time = moment.partition("T")
    if read_day(day) is None or not time:
        return clean(moment)
    return day if time == "00:00" else f"{day} {clean(time)} ET"


def _sort(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
