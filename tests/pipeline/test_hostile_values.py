"""Values that cost more than they weigh: each record with one ends as its own line, small."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finops_cli.domain import limits
from finops_cli.domain.enums import GuardMode
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.sequences import SEQUENCES
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
