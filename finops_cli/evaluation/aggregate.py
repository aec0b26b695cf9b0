"""Count outcomes one by one and compute the metrics.

Only counts, latencies and the names of missed criticals are kept in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, get_args

from finops_cli.domain.enums import EscalationLevel, Status
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.group_counts import GroupCounts, PlanCount
from finops_cli.evaluation.metrics import NO_ANSWER, Criticals, Escalation, Matrix, Metrics, Speed
from finops_cli.evaluation.outcomes import First, Outcome
from finops_cli.evaluation.stats import percentile, proportion
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_TOP = "CRITICAL"
_NAMED = 20
_TENTH = Decimal("0.1")
_SECOND_MS = 1000


def aggregate(outcomes: Iterable[Outcome], settings: EvaluationSettings) -> Metrics:
    """Aggregate the metrics of all `outcomes`. Raises ValueError without outcomes."""
    count: Aggregate | None = None
    for outcome in outcomes:
        count = count or Aggregate(outcome.stage, settings)
        count.add(outcome)
    if count is None:
        raise ValueError("no outcomes to count")
    return count.metrics()


@dataclass
class Aggregate:
    """The running count of one stage."""

    stage: str
    settings: EvaluationSettings
    records: int = 0
    first: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    no_answer: Counter[str] = field(default_factory=Counter)
    matrices: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    within: int = 0
    sentences: int = 0
    replaced_sentences: int = 0
    missed_ids: list[str] = field(default_factory=list)
    latencies: list[Decimal] = field(default_factory=list)
    timed_tokens: int = 0
    tokens: int | None = None
    generating_ms: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self.graded = GRADED_STAGES[self.stage]
        self.fields.update(dict.fromkeys(self.graded.fields, 0))
        self.strata = GroupCounts(self.settings)
        self.plans = PlanCount(self.settings)

    def add(self, outcome: Outcome) -> None:
        """Count one record."""
        self.records += 1
        self.statuses[outcome.status] += 1
        if outcome.first is None:
            return
        self.first[outcome.first] += 1
        self.sentences += outcome.sentences
        self.replaced_sentences += outcome.replaced_sentences
        self._add_time(outcome)
        (self.no_answer if outcome.first == "none" else self.rules).update(outcome.why)
        wrong = self._add_fields(outcome)
        self.strata.add(outcome, wrong)
        self.plans.add(outcome)

    def _add_time(self, outcome: Outcome) -> None:
        if outcome.latency_ms is not None:
            self.latencies.append(outcome.latency_ms)
        if outcome.tokens is not None:
            self.tokens = (self.tokens or 0) + outcome.tokens
            if outcome.generating_ms is not None:
                self.timed_tokens += outcome.tokens
                self.generating_ms += outcome.generating_ms

    def _add_fields(self, outcome: Outcome) -> list[str]:
        """Count each field and return the fields that are wrong in an answer."""
        expected, said = outcome.expected, outcome.said
        for name in self.graded.matrices:
            self.matrices[name][
                word(expected[name]), NO_ANSWER if said is None else word(said[name])
            ] += 1
        if said is None:
            return []
        wrong = [name for name in expected if said.get(name) != expected[name]]
        self.fields.update({name: name not in wrong for name in expected})
        if self.graded.has_tiers:
            off = abs(Decimal(said["priority_score"]) - Decimal(expected["priority_score"]))
            self.within += off <= self.settings.score_within
            if (
                expected["priority_tier"] == _TOP != said["priority_tier"]
                and len(self.missed_ids) < _NAMED
            ):
                self.missed_ids.append(outcome.id)
        return wrong

    def metrics(self) -> Metrics:
        """Return the metrics of the outcomes counted so far."""
        z, has_tiers = self.settings.confidence_z, self.graded.has_tiers
        has_plans = self.graded.plan_shares is not None
        asked, answered = self.first.total(), self.first["right"] + self.first["wrong"]
        stands = self.statuses["ok"] + self.statuses["repaired"]
        return Metrics(
            stage=self.stage,
            records=self.records,
            rejected=self.statuses["rejected"],
            first_answers={name: self.first[name] for name in get_args(First)},
            right=proportion(self.first["right"], answered, z),
            valid_first_try=proportion(self.first["right"], asked, z),
            accepted_after_repair=proportion(stands, asked, z),
            replaced_sentences=(
                proportion(self.replaced_sentences, self.sentences, z) if self.sentences else None
            ),
            statuses={name: self.statuses[name] for name in get_args(Status)},
            criticals=self._criticals() if has_tiers else None,
            escalation=self._escalation() if has_tiers else None,
            score_within=proportion(self.within, answered, z) if has_tiers else None,
            fields={name: proportion(count, answered, z) for name, count in self.fields.items()},
            rules={rule: proportion(count, answered, z) for rule, count in _most_first(self.rules)},
            no_answer=dict(_most_first(self.no_answer)),
            shares=self.plans.totals() if has_plans else None,
            shares_by_ftr_count=self.plans.by_ftr_count() if has_plans else {},
            strata=self.strata.groups(),
            confusion={name: _matrix(counts) for name, counts in self.matrices.items()},
            speed=self._speed(),
        )

    def _criticals(self) -> Criticals:
        tiers, z = self.matrices["priority_tier"], self.settings.confidence_z
        missed_as = {
            said: n
            for (expected, said), n in sorted(tiers.items())
            if expected == _TOP and said not in (_TOP, NO_ANSWER)
        }
        answered = sum(
            n for (expected, said), n in tiers.items() if expected == _TOP and said != NO_ANSWER
        )
        others = {pair: n for pair, n in tiers.items() if pair[0] != _TOP and pair[1] != NO_ANSWER}
        alarms = sum(n for (_, said), n in others.items() if said == _TOP)
        return Criticals(
            missed=proportion(sum(missed_as.values()), answered, z),
            missed_as=missed_as,
            unanswered=tiers[_TOP, NO_ANSWER],
            false_alarms=proportion(alarms, sum(others.values()), z),
            missed_ids=self.missed_ids,
        )

    def _escalation(self) -> Escalation:
        order, z = get_args(EscalationLevel), self.settings.confidence_z
        counts: Counter[int] = Counter()
        for (expected, said), n in self.matrices["escalation_level"].items():
            if said != NO_ANSWER:
                off = order.index(said) - order.index(expected)
                counts[(off > 0) - (off < 0)] += n
        total = counts.total()
        return Escalation(
            proportion(counts[-1], total, z),
            proportion(counts[0], total, z),
            proportion(counts[1], total, z),
        )

    def _speed(self) -> Speed:
        ascending = sorted(self.latencies)
        p50, p95, p99 = (percentile(ascending, percent) for percent in (50, 95, 99))
        rate = None
        if self.generating_ms:
            rate = (self.timed_tokens * _SECOND_MS / self.generating_ms).quantize(
                _TENTH, ROUND_HALF_UP
            )
        return Speed(
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            timed=len(ascending),
            tokens=self.tokens,
            tokens_per_second=rate,
        )


def word(value: Any) -> str:
    """Format a value of an enumeration as the heading of a matrix."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _most_first(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def _matrix(counts: Counter[tuple[str, str]]) -> Matrix:
    matrix: Matrix = {}
    for (expected, said), n in sorted(counts.items()):
        matrix.setdefault(expected, {})[said] = n
    return matrix
