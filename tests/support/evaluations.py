"""Evaluations for tests: a pipeline with any backend answers held-out records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_cli.devtools.fake_ollama import (
    Behaviour,
    Changed,
    CorrectAnswer,
    FakeOllama,
    ReceivedRequest,
)
from finops_cli.domain.stage_names import StageName
from finops_cli.evaluation.outcomes import First, Outcome
from finops_cli.evaluation.plan_coverage import PlanShares
from finops_cli.evaluation.results_dir import ANSWERS, RECORDS
from finops_cli.evaluation.run import BaselineOptions, Evaluation, conclude, write
from finops_cli.evaluation.samples import SampleOptions, write_records
from finops_cli.evaluation.strata import Strata
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.input_source import JsonLines
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.run import RunConfig, run
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.ollama_models import a_model_at, is_warm_up

Change = Callable[[dict[str, Any]], Any]


def run_evaluation(
    folder: Path,
    kb: KnowledgeBase,
    backend: Backend,
    stage: StageName = "triage",
    rows: int = 100,
    **more: Any,
) -> Evaluation:
    """Evaluate `backend` on held-out records in `folder`."""
    folder.mkdir(exist_ok=True)
    options = SampleOptions(
        stage=stage,
        rows=rows,
        seed=more.get("seed", 7),
        profile="coverage",
        data=more.get("data"),
    )
    write_records(options, folder / RECORDS, kb)
    command = "triage" if stage == "triage" else "resolve"
    pipeline = Pipeline(SEQUENCES[command], backend, kb, timed=True, keeps_raw=True)
    job = RunConfig(
        PipelineConfig(sequence=SEQUENCES[command], kb_dir=bundled_kb_dir(), timed=True),
        JsonLines(folder / RECORDS),
        folder / ANSWERS,
    )
    run(job, pipeline, lambda tally, end: None)
    evaluation = conclude(
        options, folder, backend.origin, None, kb, BaselineOptions(more.get("baselines", False))
    )
    write(evaluation, folder)
    return evaluation


def make_outcome(
    strata: Strata, first: First, stage: StageName = "triage", shares: PlanShares | None = None
) -> Outcome:
    """Return an outcome with only groups, first answer and shares of interest."""
    return Outcome(
        id="",
        content="",
        stage=stage,
        strata=strata,
        first=first,
        why=(),
        status="ok",
        attempts=1,
        expected={},
        said=None,
        shares=shares,
    )


def at_fake_ollama(
    server: FakeOllama,
    kb: KnowledgeBase,
    script: Callable[[ReceivedRequest], Behaviour],
    stage: StageName = "triage",
) -> Backend:
    """Return the models of a fake Ollama server that follows `script`, except for warm-up
    requests.
    """
    server.script = lambda request: CorrectAnswer() if is_warm_up(request) else script(request)
    server.chunk_tokens = 1000
    return a_model_at(kb, server.url, stages=(stage,), workers=2)


def age_of(request: ReceivedRequest) -> int:
    """Return the age in the prompt."""
    found = re.search(r"Age: (\d+) day", request.prompt)
    assert found is not None
    return int(found[1])


def change_when(
    applies: Callable[[ReceivedRequest], bool], change: Change
) -> Callable[[ReceivedRequest], Behaviour]:
    """Return a script that changes the answers where `applies` is true, and leaves the others
    correct.
    """
    return lambda request: Changed(change) if applies(request) else CorrectAnswer()


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in file.read_bytes().splitlines()]
