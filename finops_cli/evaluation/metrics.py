"""The metrics of an evaluation, as `evaluation.json` contains them.

A count is given with every proportion, so that a reader can check it.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.evaluation.stats import Proportion

Matrix = dict[str, dict[str, int]]
"""A count for each expected value and each answered value."""
NO_ANSWER = "no answer"
"""The column for missing answers in every matrix."""


class Criticals(Struct, frozen=True, kw_only=True):
    """Counts of fails that are CRITICAL (kb: `evaluate.missed_criticals`)."""

    missed: Proportion
    missed_as: dict[str, int]
    """The tiers that the first answers gave to missed criticals."""
    unanswered: int
    false_alarms: Proportion
    missed_ids: list[str]
    """The first missed criticals, in the order of the file."""

    @property
    def silence(self) -> str:
        """Say how many criticals have no answer. These are not counted as missed.

        Empty if every critical has an answer.
        """
        n = self.unanswered
        return f"{n:,} {'critical has' if n == 1 else 'criticals have'} no answer" if n else ""


class Escalation(Struct, frozen=True):
    """Escalation levels of the first answers, compared with the rules."""

    too_low: Proportion
    right: Proportion
    too_high: Proportion


class PlanTotals(Struct, frozen=True, kw_only=True):
    """Sums of shares over all plans (kb: `evaluate.coverage_lost`)."""

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
    """A group of records."""

    dimension: str
    group: str
    right: Proportion
    unanswered: int
    flagged: bool
    """It has more wrong or missing answers than chance explains."""
    flagged_unanswered: bool
    """It has more missing answers than chance explains."""
    worst: dict[str, int]
    """The fields that are wrong most often in the group, with their counts."""


class Speed(Struct, frozen=True, kw_only=True):
    """The latency of a record, including waiting, and the model's own speed if the backend reports
    it.
    """

    p50_ms: Decimal | None
    p95_ms: Decimal | None
    p99_ms: Decimal | None
    timed: int
    tokens: int | None
    tokens_per_second: Decimal | None


class Metrics(Struct, frozen=True, kw_only=True):
    """All counts of an evaluation."""

    stage: str
    records: int
    rejected: int
    first_answers: dict[str, int]
    """Right and wrong answers, and records without an answer."""
    right: Proportion
    valid_first_try: Proportion
    accepted_after_repair: Proportion
    replaced_sentences: Proportion | None
    """Sentences of the first answers that --prose strict replaces; None without a model."""
    statuses: dict[str, int]
    criticals: Criticals | None
    escalation: Escalation | None
    score_within: Proportion | None
    fields: dict[str, Proportion]
    """Proportion of answers in which each field is right."""
    rules: dict[str, Proportion]
    no_answer: dict[str, int]
    shares: PlanTotals | None
    shares_by_ftr_count: dict[str, PlanTotals]
    strata: list[Stratum]
    confusion: dict[str, Matrix]
    speed: Speed

    @property
    def valid_records(self) -> int:
        """Return the number of records that were sent to a backend."""
        return self.records - self.rejected
