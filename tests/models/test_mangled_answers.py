"""Mangled answers (ten thousand in `just soak`): an accepted answer is correct, and it is marked
unless it was correct at first.
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
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.mangling import mangle_answer
from tests.support.oracle.random_fails import random_fail
from tests.support.records import a_fail
from tests.support.soak import scaled
from tests.support.text_models import ScriptedModel, correct_answer


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["triage", "resolve"])
def test_mangled_answers_are_accepted_only_corrected_and_marked(
    stage: Any, kb: KnowledgeBase
) -> None:
    """Of answers mangled in one or two of twelve ways, each accepted one passes the checker. It has
    findings unless its status is ok.
    """
    rng = Random(f"mangled {stage}")
    fails = [random_fail(rng, f"F-{number}") for number in range(200)]
    lines = (
        [json.dumps(fail, default=float).encode() for fail in fails if fail.get("inventory")]
        if stage == "resolve"
        else []
    )
    lines = lines or [json.dumps(fail, default=float).encode() for fail in fails]
    counts: dict[str, int] = {}
    count = scaled(1_500, 5_000)
    for number in range(count):
        line = lines[number % len(lines)]
        ways = Random(number)

        def reply(ask: CompletionRequest, _: int, ways: Random = ways) -> str:
            mangled_stage = "triage" if stage == "triage" else "resolver"
            return (
                mangle_answer(correct_answer(ask, kb), ways)
                if ask.stage == mangled_stage
                else correct_answer(ask, kb)
            )

        desk = Pipeline(
            SEQUENCES["triage" if stage == "triage" else "run"],
            VerifiedBackend(ScriptedModel(reply), kb, "repair"),
            kb,
            timed=False,
        )
        written = desk.process(1, line).line
        output = encode(written).strip()
        [verdict] = check_run([output], [line], kb)
        assert verdict.findings == [] or verdict.findings[0].path == "/fail_id", (output, verdict)
        counts[written.status] = counts.get(written.status, 0) + 1
        if written.status == "ok":
            continue
        findings = (
            written.verification.triage if stage == "triage" else written.verification.resolution
        )
        assert findings, output
    assert counts["repaired"] > count / 20
    assert counts["fallback"] > count / 20


def test_model_score_keeps_the_digits_that_it_wrote(kb: KnowledgeBase) -> None:
    """A score keeps the digits that the model wrote, and is not converted to a float."""
    desk = Pipeline(
        SEQUENCES["triage"],
        VerifiedBackend(ScriptedModel(lambda ask, _: correct_answer(ask, kb)), kb, "repair"),
        kb,
        timed=False,
    )
    line = encode(desk.process(1, json.dumps(a_fail()).encode()).line)
    assert exact_json.decode(line)["triage"]["priority_score"].as_tuple().exponent == -1


def test_fence_and_sentence_around_an_answer_are_warnings(kb: KnowledgeBase) -> None:
    """A code fence and a sentence around an answer give format warnings. The answer still has the
    status ok.
    """
    fenced = VerifiedBackend(
        ScriptedModel(lambda ask, _: f"Sure:\n```json\n{correct_answer(ask, kb)}\n```"),
        kb,
        "repair",
    )
    line = (
        Pipeline(SEQUENCES["triage"], fenced, kb, timed=False)
        .process(1, json.dumps(a_fail()).encode())
        .line
    )
    assert (line.status, line.verification.triage) == ("ok", [])
    assert line.provenance.format_warnings == ("reply.fence", "reply.surrounding_text")


@pytest.mark.parametrize("where", ["reason", "category", "flags", "unknown", "key"])
def test_lone_surrogate_in_an_answer_makes_it_unreadable(where: str, kb: KnowledgeBase) -> None:
    """A lone surrogate in any field makes the answer unreadable, and the output line is still
    written.
    """

    def reply(ask: CompletionRequest, _: int) -> str:
        answer = json.loads(correct_answer(ask, kb))
        answer |= {"key": {"\ud83d": 1}, "flags": {"flags": ["\ud83d"]}}.get(
            where, {where: "\ud83d CNS"}
        )
        return json.dumps(answer)

    desk = Pipeline(
        SEQUENCES["triage"],
        VerifiedBackend(ScriptedModel(reply), kb, "repair"),
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
