"""Marks what the desk made of a record: the first answer as it came, and what stands after
repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct, UnsetType

from finops_cli.datasets.splits import content_key
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput
from finops_cli.errors import Unfinished
from finops_cli.evaluation.outcomes import NAME_CHARS, First, Outcome, plan_fields, triage_fields
from finops_cli.evaluation.plan_coverage import plan_shares
from finops_cli.evaluation.strata import strata_of_case, strata_of_fail
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.models.protocol import ModelStage
from finops_cli.pipeline.output import Line, read_line
from finops_cli.pipeline.parse import parse_case_line, parse_fail_line
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION, TRIAGE, Codec


def grade(records: Path, answers: Path, stage: ModelStage, kb: KnowledgeBase) -> Iterator[Outcome]:
    """An outcome for each record of an evaluation, in order.

    Raises Unfinished when the two files do not go together.
    """
    with reading(records) as asked, reading(answers) as answered:
        given = lines_of(answered)
        for number, (record, _) in enumerate(lines_of(asked), start=1):
            answer, _ = next(given, (None, 0))
            if answer is None:
                raise Unfinished(
                    f"{answers} ends before line {number} of {records}", "--resume goes on with it"
                )
            line = read_line(answer)
            yield (
                _triage_outcome(record, line, kb)
                if stage == "triage"
                else _plan_outcome(record, line, kb)
            )


def _triage_outcome(record: bytes, line: Line, kb: KnowledgeBase) -> Outcome:
    fail = parse_fail_line(record).value
    if fail is None or line.status == "rejected":
        return _rejected("triage", line)
    reference = triage(fail, kb)
    said = _first_said(line, "triage", TRIAGE)
    fields = None if said is None else triage_fields(said)
    return _outcome(
        "triage",
        fail,
        line,
        strata_of_fail(fail, reference, kb),
        triage_fields(reference),
        fields,
    )


def _plan_outcome(record: bytes, line: Line, kb: KnowledgeBase) -> Outcome:
    case = parse_case_line(record, kb).value
    if (
        case is None
        or line.status == "rejected"
        or not isinstance(line.resolution_skipped, UnsetType)
    ):
        return _rejected("resolver", line)
    reference = resolve(case, kb)
    said = _first_said(line, "resolver", RESOLUTION)
    fields = None if said is None else plan_fields(said)
    shares = plan_shares(case, reference, said, kb)
    return _outcome(
        "resolver",
        case,
        line,
        strata_of_case(case, reference, kb),
        plan_fields(reference),
        fields,
        shares,
    )


def _outcome(
    stage: ModelStage,
    given: FailRecord | ResolverInput,
    line: Line,
    strata: Any,
    expected: dict[str, Any],
    said: dict[str, Any] | None,
    shares: Any = None,
) -> Outcome:
    why = _broken(line, stage)
    first: First = "none" if said is None else "wrong" if why else "right"
    tokens, generating_ms = _told(line, stage)
    latency = line.provenance.latency_ms
    return Outcome(
        id=line.fail_id,
        content=content_key(given).hex()[:NAME_CHARS],
        stage=stage,
        strata=strata,
        first=first,
        why=why,
        status=line.status,
        attempts=line.provenance.attempts,
        expected=expected,
        said=said,
        shares=shares,
        latency_ms=None if latency is None else Decimal(str(latency)),
        tokens=tokens,
        generating_ms=generating_ms,
    )


def _rejected(stage: ModelStage, line: Line) -> Outcome:
    """A record that nobody was asked about."""
    return Outcome(
        id=line.fail_id,
        content="",
        stage=stage,
        strata=(),
        first=None,
        why=(),
        status="rejected",
        attempts=0,
        expected={},
        said=None,
    )


def _broken(line: Line, stage: ModelStage) -> tuple[str, ...]:
    """The rules that the first answer broke, as the loop noted them; of the engine, which is asked
    once, what the line says.
    """
    if isinstance(line.provenance.digests, Struct):
        attempt_errors = line.provenance.attempt_errors or ()
        return next(
            (each.rules for each in attempt_errors if each.stage == stage and each.attempt == 1), ()
        )
    findings = line.verification.triage if stage == "triage" else line.verification.resolution
    return (
        tuple(sorted({finding.rule for finding in findings})) if isinstance(findings, list) else ()
    )


def _attempts(line: Line, stage: ModelStage) -> list[dict[str, Any]]:
    kept = {} if isinstance(line.raw, UnsetType) else line.raw
    received: list[dict[str, Any]] = kept.get("triage" if stage == "triage" else "resolution", [])
    return received


def _first_said(line: Line, stage: ModelStage, shape: Codec[Any]) -> Any:
    """The first answer, read as the loop reads it; None when there is none.

    The engine's is the one that stands.
    """
    if not isinstance(line.provenance.digests, Struct):
        standing = line.triage if stage == "triage" else line.resolution
        return standing if isinstance(standing, Struct) else None
    attempts = _attempts(line, stage)
    if (
        not attempts
        or attempts[0]["attempt"] != 1
        or attempts[0].get("failure")
        or attempts[0]["text"] is None
    ):
        return None
    read = response_parser.parse_response(
        attempts[0]["text"], expects_reasoning=stage == "resolver"
    )
    return shape.read(read.value) if isinstance(read, response_parser.ParsedResponse) else None


def _told(line: Line, stage: ModelStage) -> tuple[int | None, Decimal | None]:
    """Tokens of all that the model said of the record, and the time they took, where every attempt
    tells.
    """
    attempts = _attempts(line, stage)
    if not attempts or any("tokens" not in attempt for attempt in attempts):
        return None, None
    tokens = sum(attempt["tokens"] for attempt in attempts)
    if any("generating_ms" not in attempt for attempt in attempts):
        return tokens, None
    return tokens, sum((Decimal(str(attempt["generating_ms"])) for attempt in attempts), Decimal(0))
