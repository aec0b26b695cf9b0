"""A user's own stage in the pipeline: it needs no change inside the package."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.input_source import JsonLines
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.run import RunConfig, run
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import (
    SEQUENCES,
    NextStage,
    StageContext,
    StageOutcome,
    StageSequence,
)
from tests.support.records import a_fail, jsonl, rows

REASON = "only critical fails are resolved"


def keep_critical_plans(outcome: StageOutcome, _: StageContext) -> StageOutcome:
    """A toy stage: drop the plan of a fail that is not CRITICAL."""
    triage = outcome.triage
    if triage is None or triage.value is None or triage.value.priority_tier == "CRITICAL":
        return outcome
    return msgspec.structs.replace(outcome, resolution=None, skipped=REASON)


TOY = replace(
    SEQUENCES["run"],
    command="toy",
    later=(*SEQUENCES["run"].later, NextStage(keep_critical_plans)),
)


class AlternatingEngine(Engine):
    """The rules engine, with the settings of models that cannot be loaded together."""

    concurrency = 2
    must_alternate = True

    def __init__(self, kb: KnowledgeBase) -> None:
        super().__init__(kb)
        self.prepared: list[str] = []

    def prepare(self, stage: str) -> None:
        self.prepared.append(stage)


FAILS = b"".join(
    jsonl(
        a_fail(
            fail_id=f"F-{age}",
            age_days=age,
            market_value=f"${age * 100}K",
            inventory={
                "box_qty": 1000,
                "stock_loan_available": 0,
                "recall_outstanding": 0,
                "pending_receives": 0,
            },
        )
    )
    for age in range(1, 31)
)


def run_toy(folder: Path, backend: Backend, kb: KnowledgeBase, workers: int = 1) -> list[Any]:
    folder.mkdir()
    source, output = folder / "fails.jsonl", folder / "out.jsonl"
    source.write_bytes(FAILS)
    config = RunConfig(
        pipeline=PipelineConfig(sequence=TOY, kb_dir=bundled_kb_dir(), timed=False),
        input=JsonLines(source),
        output=output,
        workers=workers,
    )
    run(config, Pipeline(TOY, backend, kb, timed=False), lambda summary, end: None)
    assert (
        json.loads((folder / "out.jsonl.run.json").read_text())["fingerprint"]["command"] == "toy"
    )
    return rows(output.read_bytes())


def test_own_stage_gives_the_same_lines_in_every_run_mode(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """A user's own stage gives the same lines in one process, in several processes and with
    alternating models.
    """
    alternating = AlternatingEngine(kb)
    lines = run_toy(tmp_path / "one", Engine(kb), kb)
    assert run_toy(tmp_path / "two", Engine(kb), kb, workers=2) == lines
    assert run_toy(tmp_path / "alternating", alternating, kb) == lines
    assert alternating.prepared[-2:] == ["triage", "resolver"]
    assert [line["fail_id"] for line in lines] == [f"F-{age}" for age in range(1, 31)]
    tiers = {line["triage"]["priority_tier"] for line in lines}
    assert "CRITICAL" in tiers
    assert len(tiers) > 1
    for line in lines:
        is_critical = line["triage"]["priority_tier"] == "CRITICAL"
        assert (line["resolution"] is not None) == is_critical
        assert line.get("resolution_skipped") == (None if is_critical else REASON)


@pytest.mark.parametrize("sequence", [*SEQUENCES.values(), TOY], ids=lambda each: each.command)
def test_output_line_has_the_answers_of_its_sequence(
    sequence: StageSequence, kb: KnowledgeBase
) -> None:
    """The row of a stage sequence decides which answers an output line has."""
    line = Pipeline(sequence, Engine(kb), kb, timed=False).process(1, b"{}").line
    written = json.loads(encode(line))
    assert tuple(name for name in ("triage", "resolution") if name in written) == sequence.answers
