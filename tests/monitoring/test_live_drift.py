"""Live drift: an alarm fires once when the answers diverge, and is armed again below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain import exact_json
from finops_cli.evaluation.drift import drift
from finops_cli.evaluation.drift_dimensions import read_features
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.live_drift import Baseline, DriftWatch, baseline_of, decode_baseline
from finops_cli.monitoring.predictions import NO_ANSWER, read_predictions
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl

EVEN = Baseline(records=400, dimensions={"tier": {"LOW": 200, "HIGH": 200}})
WINDOW = 200


def feed(watch: DriftWatch, values: str) -> list[Event]:
    """Add an answer for each letter, and judge each full window."""
    events: list[Event] = []
    for letter in values:
        watch.add({"tier": {"l": "LOW", "h": "HIGH"}[letter]})
        if watch.answers % watch.window == 0:
            events += watch.judge()
    return events


def test_alarm_fires_once_and_is_armed_again_below(kb: KnowledgeBase) -> None:
    """One alarm when the divergence passes 0.15, none while it stays, one when it is over, and one
    when it comes again.
    """
    watch = DriftWatch(EVEN, kb)
    assert feed(watch, "lh" * 100) == []
    (first,) = feed(watch, "l" * WINDOW)
    assert (first.event, first.facts["to_pct"]) == ("drift", 0)
    assert first.facts["divergence"] > first.facts["threshold"]
    assert feed(watch, "l" * WINDOW) == []
    (over,) = feed(watch, "lh" * 100)
    assert over.event == "drift_over"
    assert [each.event for each in feed(watch, "h" * WINDOW)] == ["drift"]


def test_alarm_between_the_two_limits_stays_as_it_was(kb: KnowledgeBase) -> None:
    """Between drift.rearm and drift.threshold neither an alarm nor its end is reported."""
    between = "l" * 152 + "h" * 48
    watch = DriftWatch(EVEN, kb)
    assert feed(watch, between) == []
    (state,) = watch.states()
    assert kb.monitoring.drift_rearm < state.divergence < kb.evaluation.drift_threshold
    assert [each.event for each in feed(watch, "l" * WINDOW)] == ["drift"]
    assert feed(watch, between) == []


def test_alarm_of_a_service_pauses(kb: KnowledgeBase) -> None:
    """With a clock a dimension fires at most once in ten minutes, also when it was over between."""
    watch = DriftWatch(EVEN, kb)
    seen: list[tuple[float, str]] = []
    for seconds, values in ((0, "l"), (60, "lh"), (120, "h"), (601, "h")):
        for letter in values * (WINDOW // len(values)):
            watch.add({"tier": {"l": "LOW", "h": "HIGH"}[letter]})
        seen += [(seconds, each.event) for each in watch.judge(float(seconds))]
    assert seen == [(0, "drift"), (60, "drift_over"), (601, "drift")]


@pytest.mark.parametrize(("answers", "fires"), [(3, 0), (60, 1)])
def test_few_answers_are_judged_only_where_they_tell(
    kb: KnowledgeBase, answers: int, fires: int
) -> None:
    """At the end of a short run the alarm fires, unless as few answers would diverge by chance."""
    watch = DriftWatch(EVEN, kb)
    assert feed(watch, "l" * answers) == []
    assert watch.judge() == []
    assert len(watch.judge(is_end=True)) == fires


def test_divergence_equals_that_of_finops_drift(finops: Finops, tmp_path: Path) -> None:
    """The divergence of a whole window is the one that `finops drift` computes of the file."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    from finops_cli.kb.load import bundled_kb_dir, load_kb

    kb = load_kb(bundled_kb_dir())
    for path, ages in ((before, (1, 5, 8)), (after, (8, 14))):
        source = tmp_path / "fails.jsonl"
        records = [a_fail(fail_id=f"F-{n}", age_days=ages[n % len(ages)]) for n in range(WINDOW)]
        source.write_bytes(b"".join(jsonl(each) for each in records))
        assert finops("run", source, "-q", "--backend", "engine", "-o", path).returncode == 0
    found = drift(read_features(after), read_features(before), 0,
                  kb.evaluation.drift_threshold, kb.evaluation)  # fmt: skip
    due = {each.name: each.divergence for each in found.dimensions if each.kind == "prediction"}
    watch = DriftWatch(baseline_of(before.read_bytes().splitlines()), kb)
    for line in after.read_bytes().splitlines():
        predictions = read_predictions(line)
        assert predictions is not None
        watch.add(predictions)
    assert {each.dimension: each.divergence for each in watch.states()} == due


def a_line(**changes: Any) -> bytes:
    line = json.loads((EXAMPLES / "monday.expected.jsonl").read_bytes().splitlines()[0])
    return json.dumps({**line, "provenance": {}, **changes}).encode()


def test_predictions_are_the_values_of_the_model() -> None:
    """Where a finding rejects a value, the model's own one counts, not the repaired one."""
    plain = read_predictions(a_line())
    assert plain is not None
    assert (plain["tier"], plain["answers"]) == ("CRITICAL", "accepted")
    finding = {"rule": "triage.tier", "path": "/priority_tier", "actual": "LOW"}
    repaired = read_predictions(
        a_line(status="repaired", verification={"triage": [finding], "resolution": []})
    )
    assert repaired is not None
    assert (repaired["tier"], repaired["answers"]) == ("LOW", "repaired")
    silent = {"rule": "reply.timeout", "path": ""}
    unanswered = read_predictions(a_line(status="fallback", verification={"triage": [silent]}))
    assert unanswered is not None
    assert unanswered["tier"] == unanswered["answers"] == NO_ANSWER


def test_rejected_line_has_no_prediction() -> None:
    """A rejected line was sent to no backend, so it does not count."""
    assert read_predictions(a_line(status="rejected", triage=None)) is None


@pytest.mark.parametrize(("status", "label"), [("ok", "negative"), ("fallback", NO_ANSWER)])
def test_labels_of_texts_are_predictions(status: str, label: str) -> None:
    """The label of a text counts, but not the baseline's for a model that gave none."""
    line = {"id": "T-1", "status": status, "sentiment": {"label": "negative"}, "flags": []}
    predictions = read_predictions(json.dumps(line).encode())
    assert predictions is not None
    assert predictions["label"] == label


def test_stored_baseline_is_read_again() -> None:
    """A baseline that is stored as JSON is read as it was; a line of a run is none."""
    assert decode_baseline(exact_json.encode(EVEN)) == EVEN
    assert decode_baseline(a_line()) is None
