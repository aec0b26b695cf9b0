"""Tasks for a model: a record with its prompt, and the rules' own answer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.rules.handoff import handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION, Codec, triage_codec
from finops_cli.verify.free_text import check_prose, check_reason
from finops_cli.verify.repair import repaired_plan, repaired_triage
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.sentences.check import check_plan_sentences, check_triage_sentence
from finops_cli.verify.triage import check_triage

A = TypeVar("A", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[A]):
    """One record for one stage: the prompt, and functions to parse, check and repair the answer."""

    stage: StageName
    prompt: Conversation
    codec: Codec[A]
    reference: A
    """The rules' own answer."""
    check: Callable[[A], list[Finding]]
    repair: Callable[[A, list[Finding]], A | None]
    """Replace the numbers of an answer by those of the rules; None if that is not enough."""


def triage_task(fail: FailRecord, kb: KnowledgeBase, modelfile: str = "triage") -> Task[Triage]:
    """Build the task of stage 1: the urgency of `fail`, and the action."""
    reference = triage(fail, kb)
    unrepairable = kb.models.unrepairable_fields
    return Task(
        stage="triage",
        prompt=triage_prompt(fail, modelfile),
        codec=triage_codec(kb.scoring.components),
        reference=reference,
        check=lambda answer: [
            *check_triage(answer, kb, reference),
            *check_reason(answer, reference, fail, kb),
            *check_triage_sentence(answer, reference, fail, kb),
        ],
        repair=lambda answer, found: repaired_triage(answer, found, reference, unrepairable),
    )


def resolver_task(
    case: ResolverInput, kb: KnowledgeBase, modelfile: str = "resolver"
) -> Task[Resolution]:
    """Build the task of stage 2: where do the shares of `case` come from?"""
    reference = resolve(case, kb)
    unrepairable = kb.models.unrepairable_fields
    return Task(
        stage="resolver",
        prompt=resolver_prompt(case, modelfile),
        codec=RESOLUTION,
        reference=reference,
        check=lambda answer: [
            *check_resolution(answer, kb, reference, case.ftd_qty),
            *check_prose(answer, reference, case, kb),
            *check_plan_sentences(answer, reference, case, kb),
        ],
        repair=lambda answer, found: repaired_plan(answer, found, reference, unrepairable),
    )


class RunTask(NamedTuple):
    """A stage that a run asks a model about."""

    task: Callable[[Any, KnowledgeBase, str], Task[Any]]
    """From its record, the knowledge base and the name of a Modelfile."""
    record_of: Callable[[FailRecord, KnowledgeBase], Any]
    """Its record for a fail; NotApplicable for a fail that the stage does not read."""


RUN_TASKS: dict[StageName, RunTask] = {
    "triage": RunTask(triage_task, lambda fail, kb: fail),
    "resolver": RunTask(resolver_task, lambda fail, kb: handoff(fail, triage(fail, kb), kb)),
}
"""A row for each stage of `domain.stage_names.ANSWER_FIELDS`."""


def answer_schema(codec: Codec[Any]) -> dict[str, Any]:
    """Simplify the schema of `codec` to constraints that a grammar can enforce.

    The fields keep the order that the models were trained on. Only structure and enumerations stay.
    Grammars ignore bounds and patterns, or enforce them in part; the checker tests ranges anyway.
    """
    schema = codec.json_schema
    return _simplify(schema, schema["$defs"])


_KEPT_KEYWORDS = ("type", "enum", "const")


def _simplify(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _simplify(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return {"anyOf": [_simplify(branch, definitions) for branch in schema["anyOf"]]}
    simple = {key: schema[key] for key in _KEPT_KEYWORDS if key in schema}
    if "properties" in schema:
        simple["properties"] = {
            name: _simplify(inner, definitions) for name, inner in schema["properties"].items()
        }
        simple["required"] = list(schema["properties"])
        simple["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        simple["items"] = _simplify(schema["items"], definitions)
    return simple
