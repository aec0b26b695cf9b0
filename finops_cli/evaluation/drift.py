"""Whether a run drifted from a baseline, as a whole or in a window of it (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.evaluation.divergence import divergence
from finops_cli.evaluation.predictions import DIMENSIONS, Dimension, Shown
from finops_cli.kb.evaluating import EvaluationBook

_Counts = dict[str, Counter[str]]


class Window(Struct, frozen=True):
    """Consecutive records, counted from 1 over those that somebody was asked about, and how far they diverge."""

    first: int
    last: int
    divergence: Decimal


class Drifted(Struct, frozen=True):
    """A dimension: its divergence over the whole run, its worst window, and the value whose share moved most, in percent points."""

    name: str
    kind: str
    divergence: Decimal
    drifted: bool
    worst: Window | None
    moved: str
    from_pct: Decimal
    to_pct: Decimal


class Drift(Struct, frozen=True):
    """`threshold` in nats; `window`: the records of a window as it was used, 0 where only the whole was looked at."""

    records: int
    baseline_records: int
    threshold: Decimal
    window: int
    drifted: bool
    sentence: str
    dimensions: list[Drifted]


def drift(run: Iterable[Shown], baseline: Iterable[Shown], window: int, threshold: Decimal, book: EvaluationBook) -> Drift:
    """Raises UsageError where either side has no record with an answer, and for a window that has no halves."""
    if window == 1:
        raise UsageError("a window of 1 record has no halves: give 2 or more, or 0 for the whole alone")
    known = _counted(baseline)
    watch = _Watch(known, window, book)
    for shown in run:
        watch.add(shown)
    watch.end()
    records, before = watch.records, known["answers"].total()
    if not records or not before:
        raise UsageError("the run has no record with an answer" if not records else "the baseline has no record with an answer")
    found = [
        watch.drifted(dimension, threshold) for dimension in DIMENSIONS if known[dimension.name] and watch.whole[dimension.name]
    ]
    return Drift(records, before, threshold, watch.window, any(each.drifted for each in found), _sentence(found), found)


def _counted(records: Iterable[Shown]) -> _Counts:
    counts: _Counts = defaultdict(Counter)
    for shown in records:
        for name, value in shown.items():
            counts[name][value] += 1
    return counts


class _Watch:
    """The running counts of a run: the whole, and the two halves of the window that ends here."""

    def __init__(self, baseline: _Counts, window: int, book: EvaluationBook) -> None:
        self.whole: _Counts = defaultdict(Counter)
        self.records = 0
        self._baseline = baseline
        self._book = book
        self._half = window // 2
        self._halves: deque[_Counts] = deque(maxlen=2)
        self._now: _Counts = defaultdict(Counter)
        self._worst: dict[str, Window] = {}

    def add(self, shown: Shown) -> None:
        """Count one record."""
        self.records += 1
        for name, value in shown.items():
            self.whole[name][value] += 1
            self._now[name][value] += 1
        if self._half and self.records % self._half == 0:
            self._halves.append(self._now)
            self._now = defaultdict(Counter)
            if self.window:
                self._look(self._halves[0], self._halves[1], self.window)

    def end(self) -> None:
        """No record follows: what is left behind the last window is looked at with the half before it."""
        left = self.records % self._half if self.window else 0
        if left:
            self._look(self._halves[-1], self._now, self._half + left)

    @property
    def window(self) -> int:
        """How many records a window has; 0 while there was none."""
        return 2 * self._half if len(self._halves) == self._halves.maxlen else 0

    def _look(self, first: _Counts, then: _Counts, size: int) -> None:
        for dimension in DIMENSIONS:
            counts = first[dimension.name] + then[dimension.name]
            if counts and self._baseline[dimension.name]:
                found = Window(self.records - size + 1, self.records, self._divergence(dimension.name, counts))
                worst = self._worst.get(dimension.name)
                if worst is None or found.divergence > worst.divergence:
                    self._worst[dimension.name] = found

    def drifted(self, dimension: Dimension, threshold: Decimal) -> Drifted:
        """The verdict on one dimension."""
        now, before = self.whole[dimension.name], self._baseline[dimension.name]
        whole, worst = self._divergence(dimension.name, now), self._worst.get(dimension.name)
        highest = whole if worst is None else max(whole, worst.divergence)
        moved = max(sorted({*now, *before}), key=lambda value: abs(_pct(now, value) - _pct(before, value)))
        return Drifted(
            dimension.name, dimension.kind, whole, highest > threshold, worst, moved, _pct(before, moved), _pct(now, moved)
        )

    def _divergence(self, name: str, counts: Counter[str]) -> Decimal:
        return divergence(counts, self._baseline[name], self._book.drift_smoothing)


def _pct(counts: Counter[str], value: str) -> Decimal:
    return (Decimal(100 * counts[value]) / counts.total()).quantize(Decimal("0.1"))


def _sentence(found: list[Drifted]) -> str:
    """What an analyst is to think of it: other fails, or another model."""
    inputs = [each.name for each in found if each.kind == "input" and each.drifted]
    said = [each.name for each in found if each.kind == "prediction" and each.drifted]
    if not inputs and not said:
        return "No drift: the run is as the baseline was."
    if inputs and said:
        return f"The fails are others than in the baseline ({', '.join(inputs)}), and with them the answers ({', '.join(said)})."
    if inputs:
        return f"The fails are others than in the baseline ({', '.join(inputs)}); the answers are as before."
    return f"The fails are as in the baseline, but the answers are not ({', '.join(said)}): look at the model."
