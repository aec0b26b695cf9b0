"""The classification report of a baseline: accuracy, and precision and recall of every class,
counted one record at a time.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from msgspec import Struct

from finops_cli.evaluation.figures import Matrix
from finops_cli.evaluation.shares import Share, pct, share
from finops_cli.kb.evaluating import EvaluationBook


class ClassFigures(Struct, frozen=True):
    """`precision`: of what was called so; `recall`: of what is so.

    `f1_pct` is null where both are nothing.
    """

    precision: Share
    recall: Share
    f1_pct: Decimal | None


class Classified(Struct, frozen=True):
    right: Share
    classes: dict[str, ClassFigures]
    confusion: Matrix


class Classifying:
    """The running count."""

    def __init__(self, book: EvaluationBook) -> None:
        self._z = book.z
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, expected: str, said: str) -> None:
        self._counts[expected, said] += 1

    def figures(self) -> Classified:
        names = sorted({name for pair in self._counts for name in pair})
        right = sum(self._counts[name, name] for name in names)
        matrix = {e: {s: self._counts[e, s] for s in names if self._counts[e, s]} for e in names}
        classes = {name: self._class(name, names) for name in names}
        return Classified(share(right, self._counts.total(), self._z), classes, matrix)

    def _class(self, name: str, names: list[str]) -> ClassFigures:
        hit = self._counts[name, name]
        called, there = (
            sum(self._counts[e, name] for e in names),
            sum(self._counts[name, s] for s in names),
        )
        f1 = pct(Decimal(2 * hit) / (called + there)) if called + there else None
        return ClassFigures(share(hit, called, self._z), share(hit, there, self._z), f1)
