"""Values that cost more than they weigh: each record with one ends as its own line, small."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finops_cli.domain import exact_json, limits
from finops_cli.domain.enums import GuardMode
from finops_cli.guard.detector import Guard, open_guard
from finops_cli.guard.placeholders import PLACEHOLDER, WITHHELD, Masked
from finops_cli.guard.records import guarded_fail
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.sequences import SEQUENCES
from finops_cli.verify.codecs import FAIL
from tests.support.records import a_fail

GUARDS: tuple[GuardMode, ...] = ("off", "on")


def written(field: str, number: str) -> bytes:
    """Return a record with a number as it is written, which Python could not hold."""
    return json.dumps(a_fail(**{field: "HERE"})).replace('"HERE"', number).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "entity of a control character": (
        json.dumps(a_fail(notes="call &#1; &#xFFFF; &#0; &#1114112;")).encode(),
        "ok",
    ),
    "exponent in origin": (written("origin", '{"x": 1e999999999, "y": -1e-999999999}'), "ok"),
    "exponent in shares": (written("qty", "1e999999999"), "rejected"),
    "exponent in value": (written("market_value", "1e999999999"), "rejected"),
    "exponent in coverage": (written("inventory_coverage_pct", "1e-999999999"), "ok"),
    "million comma groups": (
        json.dumps(a_fail(market_value="$1" + ",000" * 1_000_000)).encode(),
        "rejected",
    ),
    "fields of an event": (
        json.dumps(
            a_fail(corporate_action={"type": "SPLIT", **{f"new_cusip{i}": 1 for i in range(5_000)}})
        ).encode(),
        "rejected",
    ),
    "long field of an event": (
        json.dumps(
            a_fail(corporate_action={"type": "SPLIT", "new_cusip" + "p" * 100_000: 1})
        ).encode(),
        "ok",
    ),
    "number of 400,000 digits": (written("market_value", "7" * 400_000 + ".5"), "rejected"),
    "notes of a megabyte": (json.dumps(a_fail(notes="1 " * 500_000)).encode(), "rejected"),
    "name of a megabyte": (json.dumps(a_fail(**{"x7 " * 300_000: 1})).encode(), "rejected"),
    "brackets": (b"[" * 1_000_000, "rejected"),
    "objects": (b'{"a":' * 200_000, "rejected"),
    "pairs in the text form": (
        json.dumps({"fail_id": "F-1", "text": "a: b | " * 9_000}).encode(),
        "rejected",
    ),
    "unknown fields": (
        json.dumps(a_fail(**{f"x{number}": 1 for number in range(20_000)})).encode(),
        "rejected",
    ),
}


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_value_gives_a_small_line(name: str, guard: GuardMode, kb: KnowledgeBase) -> None:
    """The record is answered or rejected, never a fault of the program, in a line that is bounded
    whatever the input: with the guard and without it.
    """
    line, status = HOSTILE[name]
    redaction = redaction_policy(guard, False, kb)
    pipeline = Pipeline(SEQUENCES["run"], Engine(kb), kb, timed=False, redaction=redaction)
    output: Any = pipeline.process(1, line).line
    assert output.status == status
    assert b"internal.error" not in encode(output)
    assert len(encode(output)) < limits.TEXT_CHARS
    if status == "rejected":
        assert 0 < len(output.error.problems) <= limits.PROBLEMS + 2


class CountingGuard(Guard):
    """The guard, which counts the characters that it is asked to read."""

    chars = 0

    def mask(self, text: str) -> Masked:
        self.chars += len(text)
        return super().mask(text)


@pytest.mark.parametrize(
    "origin",
    [
        {"key 7 " * 2_500: [1] * 5_000},
        {"a 7": list(range(25_000))},
        {f"a 7 {number}": "b 7" for number in range(12_500)},
        {"note": "1 " * 125_000},
        {"1 " * 125_000: {"1 " * 125_000: 1}},
    ],
    ids=["a long key of values", "numbers", "keys", "a text", "two keys"],
)
def test_guard_reads_a_bounded_part_of_an_origin(
    origin: Any, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large `origin` is, the guard reads a part of it whose size is fixed: a key is read
    with each of its values, but only its end. The texts that nobody read are withheld.
    """
    pytest.importorskip("presidio_analyzer")
    monkeypatch.setattr(limits, "GUARDED_CHARS", limits.GUARDED_CHARS // 8)
    guard = CountingGuard(kb.guard, [])
    masked, kinds = guarded_fail(guard, FAIL.read(a_fail(origin=origin)))
    assert guard.chars <= 3 * limits.GUARDED_CHARS
    assert kinds == (WITHHELD,)
    assert PLACEHOLDER.encode() in exact_json.encode(masked.origin)


def test_guard_reads_the_whole_origin_of_an_importer(kb: KnowledgeBase) -> None:
    """An origin of the usual size is read to its end: the last number in it is masked."""
    pytest.importorskip("presidio_analyzer")
    origin = {f"column {number}": "a text of the file" for number in range(200)}
    fail = FAIL.read(a_fail(origin={**origin, "ssn": 123456789}))
    masked, kinds = guarded_fail(open_guard(kb.guard), fail)
    assert masked.origin == {**origin, "ssn": "[SSN]"}
    assert kinds == ("SSN",)
