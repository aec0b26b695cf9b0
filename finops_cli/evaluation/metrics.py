"""The metrics of an evaluation, as `evaluation.json` has them.

Counts stand beside every proportion, so that anybody can compute it again.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.evaluation.stats import Proportion

Matrix = dict[str, dict[str, int]]
"""What was expected, then what was said, then how often."""
NO_ANSWER = "no answer"
"""What is said where nothing was: it has a column of its own in every matrix."""


class Criticals(Struct, frozen=True):
    """Fails that are CRITICAL (kb: `evaluate.missed_criticals`).

    `missed_as`: what the first answer made of the missed ones.
    """

    missed: Proportion
    missed_as: dict[str, int]
    unanswered: int
    false_alarms: Proportion
    missed_ids: list[str]
    """The first of them, in the order of the file."""

    @property
    def silence(self) -> str:
        """How many have no answer, in words: they are in no share of missed ones.

        Empty where all have one.
        """
        n = self.unanswered
        return f"{n:,} {'critical has' if n == 1 else 'criticals have'} no answer" if n else ""


class Escalation(Struct, frozen=True):
    """Escalation levels of the first answers against those of the rules."""

    too_low: Proportion
    right: Proportion
    too_high: Proportion


class PlanTotals(Struct, frozen=True):
    """Shares of all plans together (kb: `evaluate.coverage_lost`)."""

    plans: int
    owed: int
    coverable: int
    delivered: int
    lost: int
    overstated: int
    without_loss: Proportion
    unanswered: int
    unanswered_coverable: int


class Stratum(Struct, frozen=True, kw_only=True):
    """A group of records. `worst`: the fields most often wrong in it, with how often.

    `flagged`: it is wrong or without an answer more often than chance explains;
    `flagged_unanswered`: it is without an answer more often.
    """

    dimension: str
    group: str
    right: Proportion
    unanswered: int
    flagged: bool
    flagged_unanswered: bool
    worst: dict[str, int]


class Speed(Struct, frozen=True):
    """Latency of a record as the desk had it, waiting included, and the model's own speed where the
    backend tells.
    """

    p50_ms: Decimal | None
    p95_ms: Decimal | None
    p99_ms: Decimal | None
    timed: int
    tokens: int | None
    tokens_per_second: Decimal | None


class Metrics(Struct, frozen=True, kw_only=True):
    """All that was counted.

    `first_answers` counts right, wrong and none (no answer); `fields` are of the answers.
    """

    stage: str
    records: int
    rejected: int
    first_answers: dict[str, int]
    right: Proportion
    valid_first_try: Proportion
    accepted_after_repair: Proportion
    statuses: dict[str, int]
    criticals: Criticals | None
    escalation: Escalation | None
    score_within: Proportion | None
    fields: dict[str, Proportion]
    rules: dict[str, Proportion]
    no_answer: dict[str, int]
    shares: PlanTotals | None
    shares_by_ftr_count: dict[str, PlanTotals]
    strata: list[Stratum]
    confusion: dict[str, Matrix]
    speed: Speed

    @property
    def valid_records(self) -> int:
        """Records that somebody was asked about."""
        return self.records - self.rejected
