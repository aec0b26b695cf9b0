"""The model stages, one row each.

A new stage is a row of this table, a name in `domain.stage_names` and a Modelfile.
"""

from __future__ import annotations

from typing import Any

from finops_cli.datasets import coverage, requirements, rows
from finops_cli.datasets.grading import Grade, grade_answer, grade_label
from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad import examples
from finops_cli.datasets.sentiment import rows as sentiment
from finops_cli.datasets.sentiment import variations
from finops_cli.datasets.stage_type import Features, LabelAnswers, Stage, TaskAnswers
from finops_cli.domain import exact_json
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.sentiment import LABELS
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import Task, resolver_task, triage_task
from finops_cli.verify.codecs import FAIL, RESOLVER_INPUT


def _tier(answer: Triage) -> object:
    return answer.priority_tier


def _steps(answer: Resolution) -> object:
    """Return the actions with their quantities, in order."""
    return [(step.action, step.qty) for step in answer.resolution_steps]


def _triage_rows(kb: KnowledgeBase) -> int:
    return kb.datasets.sizes["triage"]


def _resolver_rows(kb: KnowledgeBase) -> int:
    return kb.datasets.sizes["resolver"]


def _sentiment_rows(kb: KnowledgeBase) -> int:
    return kb.datasets.sizes["sentiment"]


def _eval_every(kb: KnowledgeBase) -> int:
    return kb.datasets.eval_every


def _no_requirements(*counts: object) -> tuple[()]:
    return ()


STAGES: dict[StageName, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="triage",
            record_codec=FAIL,
            answers=TaskAnswers(triage_task, _tier),
            decision_field="tier",
            make_row=rows.triage_row,
            verify_row=rows.verify_triage_row,
            features=coverage.triage_features,
            default_rows=_triage_rows,
            eval_every=_eval_every,
            requirements=requirements.triage_requirements,
            scratchpad=examples.TRIAGE,
        ),
        Stage(
            name="resolver",
            record_codec=RESOLVER_INPUT,
            answers=TaskAnswers(resolver_task, _steps),
            decision_field="steps",
            make_row=rows.resolver_row,
            verify_row=rows.verify_resolver_row,
            features=coverage.resolver_features,
            default_rows=_resolver_rows,
            eval_every=_eval_every,
            requirements=requirements.resolver_requirements,
            scratchpad=examples.RESOLVER,
        ),
        Stage(
            name="sentiment",
            record_codec=sentiment.SENTENCE,
            answers=LabelAnswers(LABELS),
            decision_field="label",
            make_row=sentiment.sentence_row,
            verify_row=sentiment.verify_sentiment_row,
            features=sentiment.sentiment_features,
            default_rows=_sentiment_rows,
            eval_every=sentiment.eval_every,
            requirements=_no_requirements,
            requirements_of_rows=sentiment.sentence_requirements,
            max_distinct_rows=sentiment.max_distinct_sentences,
            import_rows=sentiment.phrasebank_rows,
            vary_row=variations.varied_row,
            in_default_set=False,
        ),
    )
}


def stage_named(name: str) -> Stage:
    """Return a stage by its name.

    Raises UsageError that lists the accepted names.
    """
    if name not in STAGES:
        raise UsageError(f"unknown stage {name}", f"give one of {', '.join(STAGES)}")
    return STAGES[name]


def verify_row(row: Row, kb: KnowledgeBase) -> list[Finding]:
    """Return everything that is wrong with a row, from its texts alone.

    The list is empty for a good row.
    """
    if row.stage not in STAGES:
        message = f"{row.id}: its stage {row.stage} is not one of {', '.join(STAGES)}"
        return [
            Finding(
                rule="data.row",
                path="/stage",
                expected=list(STAGES),
                actual=row.stage,
                message=message,
            )
        ]
    try:
        return STAGES[row.stage].verify_row(row, kb)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return [
            Finding(
                rule="data.row",
                path="",
                expected="JSON texts",
                actual=None,
                message=f"{row.id}: {error}",
            )
        ]


def features(row: Row, kb: KnowledgeBase) -> Features:
    """Return the (dimension, value) pairs of a verified row."""
    yield "split", row.split
    yield from stage_named(row.stage).features(row, kb)


def grade(row: Row, text: str, kb: KnowledgeBase) -> Grade:
    """Grade a model's answer to the record of `row`. Nothing is repaired.

    Raises UsageError as `task_of` does.
    """
    answers = stage_named(row.stage).answers
    if isinstance(answers, LabelAnswers):
        return grade_label(text, row.answer, answers.labels)
    return grade_answer(task_of(row, kb), text, answers.decision, kb.models)


def task_of(row: Row, kb: KnowledgeBase, modelfile: str | None = None) -> Task[Any]:
    """Return the task that a backend would give a model for the record of `row`.

    The prompt is the Modelfile of the stage, or `modelfile`.

    Raises UsageError for a record that does not have the shape of the stage.
    """
    stage = stage_named(row.stage)
    if isinstance(stage.answers, LabelAnswers):
        raise UsageError(
            f"stage {stage.name} answers with one word: it has no task",
            "choose a row of another stage",
        )
    record = stage.record_codec.read(exact_json.decode(row.record))
    if record is None:
        raise UsageError(
            f"row {row.id}: its record does not have the shape of stage {row.stage}",
            "generate the data again",
        )
    return stage.answers.task(record, kb, modelfile or stage.name)
