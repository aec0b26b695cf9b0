"""Corrupted answers (ten thousand in `just soak`): every line passes the checker or is marked, and
no wrong first answer is taken for right.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import get_args

import pytest

from finops_cli.checking.against_input import check_run
from finops_cli.domain.enums import OnViolation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.corruption import Corrupted, corrupt_answer
from tests.support.oracle.random_fails import random_fail
from tests.support.soak import scaled
from tests.support.text_models import ScriptedModel, correct_answer

COUNT = scaled(1_500, 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["triage", "resolver"])
def test_corrupted_answer_passes_the_check_or_is_marked(stage: str, kb: KnowledgeBase) -> None:
    """There is one line for each record. It passes `finops check` or has the status `failed`. Only
    a right first turn has the status `ok`, and a right one with harmless surroundings always has
    it.
    """
    rng = Random(f"corrupted {stage}")
    fails = [random_fail(rng, f"F-{number}") for number in range(200)]
    lines = [
        json.dumps(fail, default=float).encode()
        for fail in fails
        if stage == "triage" or fail.get("inventory")
    ]
    statuses: Counter[tuple[str, str]] = Counter()
    for number in range(COUNT):
        line = lines[number % len(lines)]
        given: list[Corrupted] = []

        def reply(
            ask: CompletionRequest, _: int, number: int = number, given: list[Corrupted] = given
        ) -> str:
            right = correct_answer(ask, kb)
            if ask.stage != stage:
                return right
            if not given:
                given.append(corrupt_answer(right, Random(number)))
            return given[0].text

        policies: tuple[OnViolation, ...] = get_args(OnViolation)
        backend = VerifiedBackend(ScriptedModel(reply), kb, policies[number % len(policies)])
        sequence = SEQUENCES["triage" if stage == "triage" else "run"]
        written = Pipeline(sequence, backend, kb, timed=False).process(number, line).line
        output = encode(written)
        assert output.count(b"\n") == output.endswith(b"\n")
        [verdict] = check_run([output.strip()], [line], kb)
        assert written.status == "failed" or not verdict.findings, (given, verdict)
        if not given:
            continue
        reading = given[0].reading
        statuses[reading, written.status] += 1
        assert reading == "any" or (written.status == "ok") == (reading == "right"), (given, output)
    assert statuses["right", "ok"] > COUNT / 10
    assert statuses["not right", "fallback"] > COUNT / 20
