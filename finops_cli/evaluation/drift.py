"""Whether a run drifted from a baseline, as a whole or in a window of it (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.evaluation.drift_dimensions import DIMENSIONS, Dimension, LineFeatures
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.stats import by_chance, divergence
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_Counts = dict[str, Counter[str]]


class Window(Struct, frozen=True):
    """Consecutive records, counted from 1 over those that somebody was asked about, how far they
    diverge, and how far so few would by chance.
    """

    first: int
    last: int
    divergence: Decimal
    by_chance: Decimal


class Drifted(Struct, frozen=True):
    """A dimension: its divergence over the whole run, its worst window, and the value whose share
    moved most, in percent points.

    `by_chance`, in nats: about how far so many records diverge from the baseline when nothing
    drifted. A verdict does not use it.
    """

    name: str
    kind: str
    divergence: Decimal
    by_chance: Decimal
    drifted: bool
    worst: Window | None
    moved: str
    from_pct: Decimal
    to_pct: Decimal


class Drift(Struct, frozen=True):
    """`threshold` in nats; `window`: the records of a window as it was used, 0 where only the whole
    was looked at.

    `records_without_answer`: those whose triage does not stand, so that no line tells their inputs.
    """

    records: int
    records_without_answer: int
    baseline_records: int
    baseline_without_answer: int
    threshold: Decimal
    window: int
    drifted: bool
    sentence: str
    dimensions: list[Drifted]


def drift(
    run: Iterable[LineFeatures],
    baseline: Iterable[LineFeatures],
    window: int,
    threshold: Decimal,
    settings: EvaluationSettings,
) -> Drift:
    """Raises UsageError where either side has no record that anybody was asked about, for sides of
    different stages, for a window without halves, and for no threshold.
    """
    _refuse_options(window, threshold, settings)
    known, known_silent = _counted(baseline)
    watch = _Watch(known, window, settings)
    for shown in run:
        watch.add(shown)
    watch.end()
    records, before = watch.records, known["answers"].total()
    if not records or not before:
        side = "baseline" if records else "run"
        raise UsageError(
            f"the {side} has no record that anybody was asked about: it is empty, or every line of"
            " it was rejected"
        )
    _refuse_other_stage(known, watch.whole)
    found = [
        watch.drifted(dimension, threshold)
        for dimension in DIMENSIONS
        if known[dimension.name] and watch.whole[dimension.name]
    ]
    sentence = " ".join(
        [
            _sentence(found, watch.silent + known_silent),
            *_silence(watch.silent, records, known_silent, before),
        ]
    )
    drifted = any(each.drifted for each in found)
    return Drift(
        records,
        watch.silent,
        before,
        known_silent,
        threshold,
        watch.window,
        drifted,
        sentence,
        found,
    )


def _refuse_options(window: int, threshold: Decimal, settings: EvaluationSettings) -> None:
    if not threshold.is_finite():
        raise UsageError(
            f"a threshold of {threshold} is none: give nats, such as {settings.drift_threshold}"
        )
    if window == 1:
        raise UsageError(
            "a window of 1 record has no halves: give 2 or more, or 0 for the whole alone"
        )


def _refuse_other_stage(known: _Counts, whole: _Counts) -> None:
    sides = _stages(known), _stages(whole)
    if sides[0] != sides[1] and all(side in GRADED_STAGES for side in sides):
        raise UsageError(
            "one side has triages alone, the other plans alone",
            "hold a run against one of the same stage",
        )


def _counted(records: Iterable[LineFeatures]) -> tuple[_Counts, int]:
    """The counts, and how many records have no answer that stands."""
    counts: _Counts = defaultdict(Counter)
    silent = 0
    for shown in records:
        silent += not shown.stands
        for name, value in shown.values.items():
            counts[name][value] += 1
    return counts, silent


def _stages(counts: _Counts) -> str:
    """What the records tell of: triages, plans, both or (where all answers failed) neither."""
    return " and ".join(
        stage.name for stage in GRADED_STAGES.values() if counts[stage.drift_dimension]
    )


class _Watch:
    """The running counts of a run: the whole, and the two halves of the window that ends here."""

    def __init__(self, baseline: _Counts, window: int, settings: EvaluationSettings) -> None:
        self.whole: _Counts = defaultdict(Counter)
        self.records = self.silent = 0
        self._baseline = baseline
        self._settings = settings
        self._half = window // 2
        self._halves: deque[_Counts] = deque(maxlen=2)
        self._now: _Counts = defaultdict(Counter)
        self._worst: dict[str, Window] = {}

    def add(self, shown: LineFeatures) -> None:
        """Count one record."""
        self.records += 1
        self.silent += not shown.stands
        for name, value in shown.values.items():
            self.whole[name][value] += 1
            self._now[name][value] += 1
        if self._half and self.records % self._half == 0:
            self._halves.append(self._now)
            self._now = defaultdict(Counter)
            if self.window:
                self._look(self._halves[0], self._halves[1], self.window)

    def end(self) -> None:
        """No record follows: what is left behind the last window is looked at with the half before
        it.
        """
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
                chance = by_chance(counts, self._baseline[dimension.name])
                found = Window(
                    self.records - size + 1,
                    self.records,
                    self._divergence(dimension.name, counts),
                    chance,
                )
                worst = self._worst.get(dimension.name)
                if worst is None or found.divergence > worst.divergence:
                    self._worst[dimension.name] = found

    def drifted(self, dimension: Dimension, threshold: Decimal) -> Drifted:
        """The verdict on one dimension."""
        now, before = self.whole[dimension.name], self._baseline[dimension.name]
        whole, worst = self._divergence(dimension.name, now), self._worst.get(dimension.name)
        highest = whole if worst is None else max(whole, worst.divergence)
        moved = max(
            sorted({*now, *before}), key=lambda value: abs(_pct(now, value) - _pct(before, value))
        )
        name, kind = dimension
        shares = _pct(before, moved), _pct(now, moved)
        return Drifted(
            name, kind, whole, by_chance(now, before), highest > threshold, worst, moved, *shares
        )

    def _divergence(self, name: str, counts: Counter[str]) -> Decimal:
        return divergence(counts, self._baseline[name], self._settings.drift_smoothing)


def _pct(counts: Counter[str], value: str) -> Decimal:
    return (Decimal(100 * counts[value]) / counts.total()).quantize(Decimal("0.1"))


def _sentence(found: list[Drifted], silent: int) -> str:
    """What an analyst is to think of it: other fails, or another model.

    Inputs of `silent` records are not known, so they are no excuse.
    """
    inputs = ", ".join(each.name for each in found if each.kind == "input" and each.drifted)
    said = ", ".join(each.name for each in found if each.kind == "prediction" and each.drifted)
    if not inputs and not said:
        return "No drift: the run is as the baseline was."
    if not inputs and not any(each.kind == "input" for each in found):
        return (
            f"The answers are not as in the baseline ({said}); whether the fails are, these lines"
            " do not tell."
        )
    if not inputs:
        return (
            f"The fails are as in the baseline, but the answers are not ({said}): look at the"
            " model."
        )
    if silent:
        answers = f", nor are the answers ({said}): look at the model first" if said else ""
        return f"The inputs that are known are not as in the baseline ({inputs}){answers}."
    if said:
        return (
            f"The fails are others than in the baseline ({inputs}), and with them the answers"
            f" ({said})."
        )
    return f"The fails are others than in the baseline ({inputs}); the answers are as before."


def _silence(silent: int, records: int, before_silent: int, before: int) -> Iterator[str]:
    if silent or before_silent:
        baseline = (
            f" (in the baseline for {before_silent:,} of {before:,})" if before_silent else ""
        )
        yield (
            f"No answer stands for {silent:,} of {records:,} records{baseline}: they are in no"
            " input."
        )
