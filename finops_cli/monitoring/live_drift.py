"""Live drift: the last answers against a stored baseline (kb: `drift.*`).

An alarm fires once when the divergence of a dimension passes the threshold, and is armed again
below `drift.rearm`. It changes no answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.divergence import by_chance, divergence
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.predictions import DIMENSIONS, read_predictions


class Baseline(Struct, frozen=True, kw_only=True):
    """How often each value occurred, by dimension."""

    records: int
    dimensions: dict[str, dict[str, int]]


def baseline_of(lines: Iterable[bytes]) -> Baseline:
    """Count the predictions of the output lines of a run.

    Raises msgspec.DecodeError for a line that is not an output line.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    records = 0
    for line in lines:
        predictions = read_predictions(line)
        if predictions is not None:
            records += 1
            for name, value in predictions.items():
                counts[name][value] += 1
    return Baseline(records=records, dimensions={name: dict(c) for name, c in counts.items()})


def decode_baseline(text: bytes) -> Baseline | None:
    """Decode a stored baseline; None if `text` is something else, such as the lines of a run."""
    try:
        return msgspec.json.decode(text, type=Baseline)
    except UNREADABLE:
        return None


class DriftState(Struct, frozen=True, kw_only=True):
    """The divergence of one dimension. Divergences are in nats."""

    dimension: str
    divergence: Decimal
    by_chance: Decimal
    """The average divergence of so many answers if nothing drifted."""
    threshold: Decimal
    is_over: bool
    """The alarm has fired and is not armed again."""
    answers: int
    """The answers that were compared."""
    moved: str
    """The value whose proportion changed most."""
    from_pct: Decimal
    to_pct: Decimal


class _Alarm(NamedTuple):
    is_over: bool = False
    fired_at: float | None = None


class DriftWatch:
    """Compares the last answers with a baseline.

    It is not safe in threads: its owner holds a lock, or calls it from one thread.
    """

    def __init__(self, baseline: Baseline, kb: KnowledgeBase) -> None:
        self.window = kb.evaluation.drift_window
        self.answers = 0
        """Answers so far."""
        self._baseline = {name: Counter(counts) for name, counts in baseline.dimensions.items()}
        self._settings = kb.evaluation
        self._rearm = kb.monitoring.drift_rearm
        self._pause = kb.monitoring.drift_live["pause_seconds"]
        self._last: dict[str, deque[str]] = {
            name: deque(maxlen=self.window) for name in DIMENSIONS if name in self._baseline
        }
        self._alarms: dict[str, _Alarm] = defaultdict(_Alarm)

    def add(self, predictions: Mapping[str, str]) -> None:
        """Add the predictions of one answer."""
        self.answers += 1
        for name, values in self._last.items():
            if name in predictions:
                values.append(predictions[name])

    def judge(self, now: float | None = None, *, is_end: bool = False) -> list[Event]:
        """Return the events that the last answers cause: `drift` and `drift_over`.

        `now` is in seconds: a dimension then fires at most once in `drift.live` `pause_seconds`.
        None: by count alone. Fewer answers than a window are judged only with `is_end`, and only
        where they tell drift from chance.
        """
        events: list[Event] = []
        for state in self.states():
            alarm = self._alarms[state.dimension]
            is_known = state.answers >= self.window or (
                is_end and state.by_chance < state.threshold
            )
            if not is_known:
                continue
            if state.divergence > state.threshold and not alarm.is_over:
                if self._is_paused(alarm, now):
                    continue
                self._alarms[state.dimension] = _Alarm(True, now)
                events.append(self._event("drift", state))
            elif state.divergence < self._rearm and alarm.is_over:
                self._alarms[state.dimension] = alarm._replace(is_over=False)
                events.append(self._event("drift_over", state))
        return events

    def states(self) -> list[DriftState]:
        """Return the divergence of each dimension that has answers."""
        return [
            self._state(name, Counter(values), self._baseline[name])
            for name, values in self._last.items()
            if values
        ]

    def _is_paused(self, alarm: _Alarm, now: float | None) -> bool:
        return now is not None and alarm.fired_at is not None and now - alarm.fired_at < self._pause

    def _state(self, name: str, now: Counter[str], before: Counter[str]) -> DriftState:
        moved = max(
            sorted({*now, *before}), key=lambda value: abs(_pct(now, value) - _pct(before, value))
        )
        return DriftState(
            dimension=name,
            divergence=divergence(now, before, self._settings.drift_smoothing),
            by_chance=by_chance(now, before),
            threshold=self._settings.drift_threshold,
            is_over=self._alarms[name].is_over,
            answers=now.total(),
            moved=moved,
            from_pct=_pct(before, moved),
            to_pct=_pct(now, moved),
        )

    def _event(self, kind: str, state: DriftState) -> Event:
        facts = {**msgspec.structs.asdict(state), "after_answers": self.answers}
        del facts["is_over"]
        return Event(event="drift" if kind == "drift" else "drift_over", facts=facts)


def _pct(counts: Counter[str], value: str) -> Decimal:
    total = counts.total()
    return (Decimal(100 * counts[value]) / (total or 1)).quantize(Decimal("0.1"))
