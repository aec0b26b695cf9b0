"""Test whether a run, or a window of it, drifted from a baseline (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.evaluation.drift_dimensions import DIMENSIONS, Dimension, LineFeatures
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.kb.chapters.evaluation import EvaluationSettings
from finops_cli.monitoring.divergence import by_chance, divergence
from finops_cli.monitoring.events import Event

_Counts = dict[str, Counter[str]]


class Window(Struct, frozen=True):
    """A range of consecutive records and their divergence from the baseline.

    Records that were sent to a backend are counted from 1.
    """

    first: int
    last: int
    divergence: Decimal
    by_chance: Decimal
    """The average divergence of so many records if nothing drifted."""


class DimensionDrift(Struct, frozen=True, kw_only=True):
    """The divergence of one dimension over the whole run, and its worst window."""

    name: str
    kind: str
    divergence: Decimal
    by_chance: Decimal
    """The average divergence, in nats, of so many records if nothing drifted.

    The verdict does not use it.
    """
    drifted: bool
    worst: Window | None
    moved: str
    """The value whose proportion changed most, in percentage points."""
    from_pct: Decimal
    to_pct: Decimal


class Drift(Struct, frozen=True, kw_only=True):
    """The drift of a run from a baseline over all dimensions."""

    records: int
    records_without_answer: int
    """Records without an accepted triage. Their lines do not show the inputs."""
    baseline_records: int
    baseline_without_answer: int
    threshold: Decimal
    """In nats."""
    window: int
    """Number of records in a window; 0 if only the whole run was compared."""
    drifted: bool
    sentence: str
    dimensions: list[DimensionDrift]


def drift(
    run: Iterable[LineFeatures],
    baseline: Iterable[LineFeatures],
    window: int,
    threshold: Decimal,
    settings: EvaluationSettings,
) -> Drift:
    """Compare the answers and inputs of a run with those of a baseline.

    Raises UsageError if a side has no record that was sent to a backend, if the sides are of
    different stages, if the window has fewer than 2 records, or if the threshold is not finite.
    """
    _refuse_options(window, threshold, settings)
    known, known_unanswered = _count(baseline)
    watch = _Watch(known, window, settings)
    for features in run:
        watch.add(features)
    watch.end()
    records, before = watch.records, known["answers"].total()
    if not records or not before:
        side = "baseline" if records else "run"
        raise UsageError(
            f"the {side} has no record that was sent to a backend: the file is empty, or every"
            " line was rejected",
            "give the output of a run that has answers",
        )
    _refuse_other_stage(known, watch.whole)
    found = [
        watch.judge(dimension, threshold)
        for dimension in DIMENSIONS
        if known[dimension.name] and watch.whole[dimension.name]
    ]
    sentence = " ".join(
        [
            _sentence(found, watch.unanswered + known_unanswered),
            *_unanswered_sentence(watch.unanswered, records, known_unanswered, before),
        ]
    )
    return Drift(
        records=records,
        records_without_answer=watch.unanswered,
        baseline_records=before,
        baseline_without_answer=known_unanswered,
        threshold=threshold,
        window=watch.window,
        drifted=any(each.drifted for each in found),
        sentence=sentence,
        dimensions=found,
    )


def drift_events(found: Drift) -> list[Event]:
    """Return the event `drift` of each dimension that drifted, as a run reports it."""
    return [
        Event(
            event="drift",
            facts={
                "dimension": each.name,
                "divergence": each.divergence if each.worst is None else each.worst.divergence,
                "by_chance": each.by_chance if each.worst is None else each.worst.by_chance,
                "threshold": found.threshold,
                "answers": found.records if each.worst is None else found.window,
                "moved": each.moved,
                "from_pct": each.from_pct,
                "to_pct": each.to_pct,
                "after_answers": found.records if each.worst is None else each.worst.last,
            },
        )
        for each in found.dimensions
        if each.drifted
    ]


def _refuse_options(window: int, threshold: Decimal, settings: EvaluationSettings) -> None:
    if not threshold.is_finite():
        raise UsageError(
            f"--threshold {threshold} is not finite. Expected a number of nats.",
            f"give a number, such as {settings.drift_threshold}",
        )
    if window == 1:
        raise UsageError(
            "--window is 1, and one record cannot be split. Expected 0, or 2 or more.",
            "give 0 to compare the whole run alone",
        )


def _refuse_other_stage(known: _Counts, whole: _Counts) -> None:
    sides = _stages(known), _stages(whole)
    if sides[0] != sides[1] and all(side in GRADED_STAGES for side in sides):
        raise UsageError(
            "one side has only triages, the other only plans",
            "compare two runs of the same stage",
        )


def _count(records: Iterable[LineFeatures]) -> tuple[_Counts, int]:
    """Count the values of each dimension, and the records without an accepted answer."""
    counts: _Counts = defaultdict(Counter)
    unanswered = 0
    for features in records:
        unanswered += not features.stands
        for name, value in features.values.items():
            counts[name][value] += 1
    return counts, unanswered


def _stages(counts: _Counts) -> str:
    """Name the kinds of answers in the counts: triages, plans, both, or neither if all failed."""
    return " and ".join(
        stage.name for stage in GRADED_STAGES.values() if counts[stage.drift_dimension]
    )


class _Watch:
    """The running counts of a run: the whole, and the two halves of the current window."""

    def __init__(self, baseline: _Counts, window: int, settings: EvaluationSettings) -> None:
        self.whole: _Counts = defaultdict(Counter)
        self.records = self.unanswered = 0
        self._baseline = baseline
        self._settings = settings
        self._half = window // 2
        self._halves: deque[_Counts] = deque(maxlen=2)
        self._now: _Counts = defaultdict(Counter)
        self._worst: dict[str, Window] = {}

    def add(self, features: LineFeatures) -> None:
        """Count one record."""
        self.records += 1
        self.unanswered += not features.stands
        for name, value in features.values.items():
            self.whole[name][value] += 1
            self._now[name][value] += 1
        if self._half and self.records % self._half == 0:
            self._halves.append(self._now)
            self._now = defaultdict(Counter)
            if self.window:
                self._look(self._halves[0], self._halves[1], self.window)

    def end(self) -> None:
        """Judge the records after the last full window, together with the half before them."""
        left = self.records % self._half if self.window else 0
        if left:
            self._look(self._halves[-1], self._now, self._half + left)

    @property
    def window(self) -> int:
        """Return the number of records in a window; 0 until the first window is full."""
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

    def judge(self, dimension: Dimension, threshold: Decimal) -> DimensionDrift:
        """Judge the drift of one dimension."""
        now, before = self.whole[dimension.name], self._baseline[dimension.name]
        whole, worst = self._divergence(dimension.name, now), self._worst.get(dimension.name)
        highest = whole if worst is None else max(whole, worst.divergence)
        moved = max(
            sorted({*now, *before}), key=lambda value: abs(_pct(now, value) - _pct(before, value))
        )
        return DimensionDrift(
            name=dimension.name,
            kind=dimension.kind,
            divergence=whole,
            by_chance=by_chance(now, before),
            drifted=highest > threshold,
            worst=worst,
            moved=moved,
            from_pct=_pct(before, moved),
            to_pct=_pct(now, moved),
        )

    def _divergence(self, name: str, counts: Counter[str]) -> Decimal:
        return divergence(counts, self._baseline[name], self._settings.drift_smoothing)


def _pct(counts: Counter[str], value: str) -> Decimal:
    return (Decimal(100 * counts[value]) / counts.total()).quantize(Decimal("0.1"))


def _sentence(found: list[DimensionDrift], unanswered: int) -> str:
    """Explain the drift to an analyst: other fails, or another model.

    The inputs of `unanswered` records are unknown, so they do not explain other answers.
    """
    inputs = ", ".join(each.name for each in found if each.kind == "input" and each.drifted)
    predictions = ", ".join(
        each.name for each in found if each.kind == "prediction" and each.drifted
    )
    if not inputs and not predictions:
        return "No drift: the run does not differ from the baseline."
    if not inputs and not any(each.kind == "input" for each in found):
        return (
            f"The answers differ from the baseline ({predictions}). The lines do not show if the"
            " fails differ too."
        )
    if not inputs:
        return (
            f"The fails do not differ from the baseline, but the answers do ({predictions}):"
            " check the model."
        )
    if unanswered:
        answers = (
            f", and so do the answers ({predictions}): check the model first" if predictions else ""
        )
        return f"The known inputs differ from the baseline ({inputs}){answers}."
    if predictions:
        return (
            f"The fails ({inputs}) and the answers ({predictions}) both differ from the baseline."
        )
    return f"The fails differ from the baseline ({inputs}); the answers do not."


def _unanswered_sentence(
    unanswered: int, records: int, before_unanswered: int, before: int
) -> Iterator[str]:
    if unanswered or before_unanswered:
        baseline = (
            f" (in the baseline {before_unanswered:,} of {before:,})" if before_unanswered else ""
        )
        yield (
            f"{unanswered:,} of {records:,} records have no accepted answer{baseline}: their inputs"
            " are not counted."
        )
