"""Ten thousand answers of models that went wrong: what stands is right, and marked unless it was
right as it came.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from finops_cli.checking.against_input import check_run
from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.stages import SEQUENCES
from tests.support.mangling import mangled
from tests.support.oracle.random_fails import random_fail
from tests.support.records import a_fail
from tests.support.text_models import ScriptedModel, right


@pytest.mark.parametrize("stage", ["triage", "resolve"])
def test_ten_thousand_mangled_answers_stand_right_or_marked(stage: Any, kb: KnowledgeBase) -> None:
    """Each answer wrong in one or two of twelve ways: what stands passes the checker against its
    record, and is marked unless it was right.
    """
    rng = Random(f"mangled {stage}")
    fails = [random_fail(rng, f"F-{number}") for number in range(200)]
    lines = (
        [json.dumps(fail, default=float).encode() for fail in fails if fail.get("inventory")]
        if stage == "resolve"
        else []
    )
    lines = lines or [json.dumps(fail, default=float).encode() for fail in fails]
    told: dict[str, int] = {}
    count = 5000
    for number in range(count):
        line = lines[number % len(lines)]
        ways = Random(number)

        def says(ask: CompletionRequest, _: int, ways: Random = ways) -> str:
            wanted = "triage" if stage == "triage" else "resolver"
            return mangled(right(ask, kb), ways) if ask.stage == wanted else right(ask, kb)

        desk = Pipeline(
            SEQUENCES["triage" if stage == "triage" else "run"],
            VerifiedBackend(ScriptedModel(says), kb, "repair"),
            kb,
            timed=False,
        )
        written = desk.process(1, line).line
        output = encode(written).strip()
        [verdict] = check_run([output], [line], kb)
        assert verdict.findings == [] or verdict.findings[0].path == "/fail_id", (output, verdict)
        told[written.status] = told.get(written.status, 0) + 1
        if written.status == "ok":
            continue
        findings = (
            written.verification.triage if stage == "triage" else written.verification.resolution
        )
        assert findings, output
    assert told["repaired"] > count / 20
    assert told["fallback"] > count / 20


def test_exact_numbers_survive_the_wire(kb: KnowledgeBase) -> None:
    """Scores arrive as the digits that the model wrote, not as floats."""
    desk = Pipeline(
        SEQUENCES["triage"],
        VerifiedBackend(ScriptedModel(lambda ask, _: right(ask, kb)), kb, "repair"),
        kb,
        timed=False,
    )
    line = encode(desk.process(1, json.dumps(a_fail()).encode()).line)
    assert exact_json.decode(line)["triage"]["priority_score"].as_tuple().exponent == -1


def test_what_was_around_an_answer_is_reported_and_nothing_more(kb: KnowledgeBase) -> None:
    """A fence and a sentence: the answer counts as it came, provenance tells what was tolerated."""
    fenced = VerifiedBackend(
        ScriptedModel(lambda ask, _: f"Sure:\n```json\n{right(ask, kb)}\n```"), kb, "repair"
    )
    line = (
        Pipeline(SEQUENCES["triage"], fenced, kb, timed=False)
        .process(1, json.dumps(a_fail()).encode())
        .line
    )
    assert (line.status, line.verification.triage) == ("ok", [])
    assert line.provenance.format_warnings == ("reply.fence", "reply.surrounding_text")


@pytest.mark.parametrize("where", ["reason", "category", "flags", "unknown", "key"])
def test_half_a_character_never_stands_and_never_stops_a_run(where: str, kb: KnowledgeBase) -> None:
    """A lone surrogate is no text: whatever field it is in, the answer cannot be read, and the line
    is written.
    """

    def says(ask: CompletionRequest, _: int) -> str:
        given = json.loads(right(ask, kb))
        given |= {"key": {"\ud83d": 1}, "flags": {"flags": ["\ud83d"]}}.get(
            where, {where: "\ud83d CNS"}
        )
        return json.dumps(given)

    desk = Pipeline(
        SEQUENCES["triage"],
        VerifiedBackend(ScriptedModel(says), kb, "repair"),
        kb,
        timed=False,
        keeps_raw=True,
    )
    line = desk.process(1, json.dumps(a_fail()).encode()).line
    assert (line.status, [finding.rule for finding in line.verification.triage or ()]) == (
        "fallback",
        ["reply.json"],
    )
    assert b"\\ud83d" in encode(line)
