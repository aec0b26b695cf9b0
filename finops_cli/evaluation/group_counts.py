"""Count first answers and the shares of plans by group of records.

A group is flagged if chance does not explain its wrong or missing answers (kb:
`evaluate.min_group_records`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal

from finops_cli.evaluation.metrics import PlanTotals, Stratum
from finops_cli.evaluation.outcomes import Outcome
from finops_cli.evaluation.stats import chance_of_more, proportion, wilson
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_ALL = "all"
_WORST_FIELDS = 4
_TESTS = 2
"""Tests of each group: one for wrong answers, one for missing answers."""
_Group = tuple[str, str]


class GroupCounts:
    """Running counts of first answers and wrong fields, by dimension and group."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self._settings = settings
        self._first: dict[_Group, Counter[str]] = defaultdict(Counter)
        self._wrong: dict[_Group, Counter[str]] = defaultdict(Counter)
        self._all: Counter[str] = Counter()

    def add(self, outcome: Outcome, wrong: Sequence[str]) -> None:
        """Count a record. `wrong` lists the fields that are wrong in its answer."""
        first = outcome.first or ""
        self._all[first] += 1
        for group in outcome.strata:
            self._first[group][first] += 1
            self._wrong[group].update(wrong)

    def groups(self) -> list[Stratum]:
        """List every group: flagged groups first, then by the highest plausible proportion of right
        answers.

        That is the upper end of the interval over all records of the group. A missing answer counts
        as not right.
        """
        strata = [self._stratum(group, first) for group, first in sorted(self._first.items())]
        return sorted(strata, key=lambda stratum: (not stratum.flagged, self._at_best(stratum)))

    def _at_best(self, stratum: Stratum) -> Decimal:
        return wilson(
            stratum.right.count, stratum.right.of + stratum.unanswered, self._settings.confidence_z
        )[1]

    def _stratum(self, group: _Group, first: Counter[str]) -> Stratum:
        answered, everywhere = _answered(first), _answered(self._all)
        worst = sorted(self._wrong[group].items(), key=lambda item: (-item[1], item[0]))[
            :_WORST_FIELDS
        ]
        is_wrong = self._is_above_chance(first["wrong"], answered, self._all["wrong"], everywhere)
        is_unanswered = self._is_above_chance(
            first["none"], first.total(), self._all["none"], self._all.total()
        )
        right = proportion(first["right"], answered, self._settings.confidence_z)
        dimension, name = group
        return Stratum(
            dimension=dimension,
            group=name,
            right=right,
            unanswered=first["none"],
            flagged=is_wrong or is_unanswered,
            flagged_unanswered=is_unanswered,
            worst=dict(worst),
        )

    def _is_above_chance(self, flagged: int, of: int, all_flagged: int, of_all: int) -> bool:
        """Check that chance does not explain the count, given the number of groups and of tests of
        each.
        """
        if of < self._settings.min_group_records or not flagged:
            return False
        chance = chance_of_more(flagged, of, all_flagged, of_all)
        return chance * len(self._first) * _TESTS <= self._settings.significance


class PlanCount:
    """Running sums of shares of stock, in total and by number of fails to receive.

    Shares owed, coverable and delivered cover records with an answer. Records without an answer are
    counted separately.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        self._z = settings.confidence_z
        self._sums: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one record. A triage record has no shares."""
        given = outcome.shares
        if given is None:
            return
        groups = (_ALL, dict(outcome.strata)["FTR count"])
        if given.delivered is None:
            sums = {"unanswered": 1, "unanswered_coverable": given.coverable}
        else:
            lost, overstated = given.lost or 0, given.overstated or 0
            sums = {
                "plans": 1,
                "owed": given.owed,
                "coverable": given.coverable,
                "delivered": given.delivered,
            }
            sums |= {"lost": lost, "overstated": overstated, "without_loss": not lost}
        for group in groups:
            self._sums[group].update(sums)

    def totals(self) -> PlanTotals:
        """Return the sums of all records."""
        return self._totals(self._sums[_ALL])

    def by_ftr_count(self) -> dict[str, PlanTotals]:
        """Return the sums by range of the number of fails to receive, fewest first."""
        ranges = sorted((group for group in self._sums if group != _ALL), key=_fewest)
        return {group: self._totals(self._sums[group]) for group in ranges}

    def _totals(self, sums: Counter[str]) -> PlanTotals:
        return PlanTotals(
            plans=sums["plans"],
            owed=sums["owed"],
            coverable=sums["coverable"],
            delivered=sums["delivered"],
            lost=sums["lost"],
            overstated=sums["overstated"],
            without_loss=proportion(sums["without_loss"], sums["plans"], self._z),
            unanswered=sums["unanswered"],
            unanswered_coverable=sums["unanswered_coverable"],
        )


def _answered(first: Counter[str]) -> int:
    return first["right"] + first["wrong"]


def _fewest(group: str) -> tuple[int, bool]:
    """Return the sort key of a range: its first number; `below N` sorts before `N to M`."""
    below = group.startswith("below ")
    return int(group.removeprefix("below ").removeprefix("over ").partition("-")[0]), not below
