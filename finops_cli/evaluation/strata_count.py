"""Counts right answers by group, and singles out the groups where they are rarer than elsewhere (kb: `evaluate.strata`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from finops_cli.evaluation.figures import Stratum
from finops_cli.evaluation.outcomes import Outcome
from finops_cli.evaluation.shares import share
from finops_cli.evaluation.significance import chance_of_more
from finops_cli.kb.evaluating import EvaluationBook

_WORST_FIELDS = 4
_Group = tuple[str, str]


class StrataCount:
    """Running counts by dimension and group."""

    def __init__(self, book: EvaluationBook) -> None:
        self._book = book
        self._first: dict[_Group, Counter[str]] = defaultdict(Counter)
        self._wrong: dict[_Group, Counter[str]] = defaultdict(Counter)
        self._all: Counter[str] = Counter()

    def add(self, outcome: Outcome, wrong: Sequence[str]) -> None:
        """Count a record; `wrong` are the fields that its answer has wrong."""
        told = outcome.first or ""
        self._all[told] += 1
        for group in outcome.strata:
            self._first[group][told] += 1
            self._wrong[group].update(wrong)

    def figures(self) -> list[Stratum]:
        """Every group: those singled out first, then by share of right answers, lowest first."""
        strata = [self._stratum(group, first) for group, first in sorted(self._first.items())]
        return sorted(strata, key=lambda s: (not s.singled_out, s.right.high_pct if s.right.high_pct is not None else 101))

    def _stratum(self, group: _Group, first: Counter[str]) -> Stratum:
        answered = first["right"] + first["wrong"]
        worst = sorted(self._wrong[group].items(), key=lambda item: (-item[1], item[0]))[:_WORST_FIELDS]
        right = share(first["right"], answered, self._book.z)
        return Stratum(*group, right, first["none"], self._is_worse(first, answered), dict(worst))

    def _is_worse(self, first: Counter[str], answered: int) -> bool:
        """Whether so many wrong answers in it are no chance, however many groups are looked at."""
        if answered < self._book.stratum_from or not first["wrong"]:
            return False
        chance = chance_of_more(first["wrong"], answered, self._all["wrong"], self._all["right"] + self._all["wrong"])
        return chance * len(self._first) <= self._book.significance
