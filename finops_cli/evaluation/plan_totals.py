"""Counts the shares of plans, all together and by number of fails to receive."""

from __future__ import annotations

from collections import Counter, defaultdict

from finops_cli.evaluation.figures import PlanTotals
from finops_cli.evaluation.outcomes import Outcome
from finops_cli.evaluation.shares import share
from finops_cli.kb.evaluating import EvaluationBook

_ALL = "all"


class PlanCount:
    """Running sums.

    Shares that are owed are told of records with an answer; the others stand beside.
    """

    def __init__(self, book: EvaluationBook) -> None:
        self._z = book.z
        self._sums: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one record; one of triage has no shares."""
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
        return self._totals(self._sums[_ALL])

    def by_ftr_count(self) -> dict[str, PlanTotals]:
        """By range of numbers of fails to receive, fewest first."""
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
            without_loss=share(sums["without_loss"], sums["plans"], self._z),
            unanswered=sums["unanswered"],
            unanswered_coverable=sums["unanswered_coverable"],
        )


def _fewest(group: str) -> tuple[int, bool]:
    """The number that a range of fails to receive begins with; what lies below it comes
    before it.
    """
    below = group.startswith("below ")
    return int(group.removeprefix("below ").removeprefix("over ").partition("-")[0]), not below
