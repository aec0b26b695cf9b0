"""Grade the model's first answer to each record, and the accepted answer after repair."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct, UnsetType

from finops_cli.datasets.splits import content_key
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import Unfinished
from finops_cli.evaluation.graded_stages import GRADED_STAGES, GradedStage, SentenceCount
from finops_cli.evaluation.outcomes import NAME_CHARS, First, Outcome
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.pipeline.output import Line, read_line


def grade(
    records: Path, answers: Path, stage: StageName, is_model: bool, kb: KnowledgeBase
) -> Iterator[Outcome]:
    """Grade the answer to each record of an evaluation, in order.

    With `is_model` a language model gave the answers, and its first attempts are graded.

    Raises Unfinished if the two files do not belong together.
    """
    with reading(records) as asked, reading(answers) as answered:
        given = lines_of(answered)
        for number, (record, _) in enumerate(lines_of(asked), start=1):
            answer, _ = next(given, (None, 0))
            if answer is None:
                raise Unfinished(
                    f"{answers} ends before line {number} of {records}", "continue it with --resume"
                )
            line = read_line(answer)
            yield _outcome(record, line, GRADED_STAGES[stage], is_model, kb)


def _outcome(
    record: bytes, line: Line, stage: GradedStage, is_model: bool, kb: KnowledgeBase
) -> Outcome:
    given = stage.parse_line(record, kb)
    if given is None or line.status == "rejected" or _is_skipped(line, stage):
        return _rejected(stage, line)
    reference = stage.answer(given, kb)
    answer = _first_answer(line, stage, is_model, kb)
    why = _broken(line, stage, is_model)
    first: First = "none" if answer is None else "wrong" if why else "right"
    tokens, generating_ms = _tokens(line, stage)
    latency = line.provenance.latency_ms
    is_judged = is_model and answer is not None
    sentences = stage.sentences(given, reference, answer, kb) if is_judged else SentenceCount(0, 0)
    return Outcome(
        id=line.fail_id,
        content=content_key(given).hex()[:NAME_CHARS],
        stage=stage.name,
        strata=stage.strata(given, reference, kb),
        first=first,
        why=why,
        status=line.status,
        attempts=line.provenance.attempts,
        expected=stage.fields_of(reference),
        said=None if answer is None else stage.fields_of(answer),
        sentences=sentences.all,
        replaced_sentences=sentences.replaced,
        shares=(
            None if stage.plan_shares is None else stage.plan_shares(given, reference, answer, kb)
        ),
        latency_ms=None if latency is None else Decimal(str(latency)),
        tokens=tokens,
        generating_ms=generating_ms,
    )


def _is_skipped(line: Line, stage: GradedStage) -> bool:
    """Check that the record has no plan because an earlier stage left nothing to plan."""
    return stage.plan_shares is not None and not isinstance(line.resolution_skipped, UnsetType)


def _rejected(stage: GradedStage, line: Line) -> Outcome:
    """Return the outcome of a record that was not sent to a backend."""
    return Outcome(
        id=line.fail_id,
        content="",
        stage=stage.name,
        strata=(),
        first=None,
        why=(),
        status="rejected",
        attempts=0,
        expected={},
        said=None,
    )


def _broken(line: Line, stage: GradedStage, is_model: bool) -> tuple[str, ...]:
    """Return the rules that the first answer broke.

    For a model, they come from the recorded attempts. The engine answers once, so they come from
    the line.
    """
    if is_model:
        attempt_errors = line.provenance.attempt_errors or ()
        return next(
            (
                each.rules
                for each in attempt_errors
                if each.stage == stage.name and each.attempt == 1
            ),
            (),
        )
    findings = getattr(line.verification, stage.answer_field)
    return (
        tuple(sorted({finding.rule for finding in findings})) if isinstance(findings, list) else ()
    )


def _attempts(line: Line, stage: GradedStage) -> list[dict[str, Any]]:
    kept = {} if isinstance(line.raw, UnsetType) else line.raw
    received: list[dict[str, Any]] = kept.get(stage.answer_field, [])
    return received


def _first_answer(line: Line, stage: GradedStage, is_model: bool, kb: KnowledgeBase) -> Any:
    """Parse the first answer as the verification loop does; None for a record without one.

    The engine's first answer is its final answer.
    """
    if not is_model:
        standing = getattr(line, stage.answer_field)
        return standing if isinstance(standing, Struct) else None
    attempts = _attempts(line, stage)
    if (
        not attempts
        or attempts[0]["attempt"] != 1
        or attempts[0].get("failure")
        or attempts[0]["text"] is None
    ):
        return None
    read = response_parser.parse_response(attempts[0]["text"], kb.models)
    if not isinstance(read, response_parser.ParsedResponse):
        return None
    return stage.codec(kb).read(read.value)


def _tokens(line: Line, stage: GradedStage) -> tuple[int | None, Decimal | None]:
    """Add up the tokens of all attempts and their time, if every attempt records both."""
    attempts = _attempts(line, stage)
    if not attempts or any("tokens" not in attempt for attempt in attempts):
        return None, None
    tokens = sum(attempt["tokens"] for attempt in attempts)
    if any("generating_ms" not in attempt for attempt in attempts):
        return tokens, None
    return tokens, sum((Decimal(str(attempt["generating_ms"])) for attempt in attempts), Decimal(0))
