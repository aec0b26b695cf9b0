"""Evaluations for tests: the desk, asked about held-out records, with whatever backend a test plugs
in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_cli.devtools.standin import Behaviour, Changed, Heard, Right, StandIn
from finops_cli.evaluation.evaluate import Evaluation, Simpler, concluded, write
from finops_cli.evaluation.folder import ANSWERS, RECORDS
from finops_cli.evaluation.outcomes import First, Outcome, PlanShares
from finops_cli.evaluation.records import Wanted, write_records
from finops_cli.evaluation.strata import Strata
from finops_cli.kb.book import Book
from finops_cli.kb.load import shipped_kb
from finops_cli.models.protocol import Backend, ModelStage
from finops_cli.pipeline.conveyor import DeskPlan
from finops_cli.pipeline.desk import Desk
from finops_cli.pipeline.session import Job, run
from tests.ollama_models import a_model_at, warms_up

Change = Callable[[dict[str, Any]], Any]


def evaluated(
    folder: Path,
    book: Book,
    backend: Backend,
    stage: ModelStage = "triage",
    rows: int = 100,
    **wanted: Any,
) -> Evaluation:
    """The evaluation of `backend` in `folder`."""
    folder.mkdir(exist_ok=True)
    asked = Wanted(stage, rows, wanted.get("seed", 7), "coverage", wanted.get("data"))
    write_records(asked, folder / RECORDS, book)
    station = "triage" if stage == "triage" else "resolve"
    desk = Desk(station, backend, book, timed=True, keeps_raw=True)
    job = Job(DeskPlan(station, shipped_kb(), timed=True), folder / RECORDS, folder / ANSWERS)
    run(job, desk, lambda tally, end: None)
    evaluation = concluded(
        asked, folder, backend.origin, None, book, Simpler(wanted.get("baselines", False))
    )
    write(evaluation, folder)
    return evaluation


def an_outcome(
    strata: Strata, first: First, stage: ModelStage = "triage", shares: PlanShares | None = None
) -> Outcome:
    """An outcome of which only groups, first answer and shares count."""
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


def at_standin(
    server: StandIn, book: Book, script: Callable[[Heard], Behaviour], stage: ModelStage = "triage"
) -> Backend:
    """The models of a stand-in that follows `script`, but for warming up."""
    server.script = lambda heard: Right() if warms_up(heard) else script(heard)
    server.chunk_tokens = 1000
    return a_model_at(book, server.url, stages=(stage,), workers=2)


def age_of(heard: Heard) -> int:
    """The age that the prompt names."""
    found = re.search(r"Age: (\d+) day", heard.prompt)
    assert found is not None
    return int(found[1])


def when(applies: Callable[[Heard], bool], change: Change) -> Callable[[Heard], Behaviour]:
    """A script that changes some answers and leaves the others right."""
    return lambda heard: Changed(change) if applies(heard) else Right()


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in file.read_bytes().splitlines()]
