"""What a record asks of a model, and what the rules know about the answer beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.models.protocol import ModelStage
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION, TRIAGE, Codec
from finops_cli.verify.free_text import check_prose, check_reason
from finops_cli.verify.repair import repaired_plan, repaired_triage
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage

A = TypeVar("A", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Task(Generic[A]):
    """`reference` is the rules' own answer.

    `check` judges one of a model; `repair` puts its figures right, or gives None.
    """

    stage: ModelStage
    prompt: Conversation
    shape: Codec[A]
    reference: A
    check: Callable[[A], list[Finding]]
    repair: Callable[[A, list[Finding]], A | None]


def triage_task(fail: FailRecord, kb: KnowledgeBase, modelfile: str = "triage") -> Task[Triage]:
    """Stage 1: how urgent is `fail`, and what is to be done?"""
    reference = triage(fail, kb)
    return Task(
        "triage",
        triage_prompt(fail, modelfile),
        TRIAGE,
        reference,
        lambda answer: [
            *check_triage(answer, kb, reference),
            *check_reason(answer, reference, fail, kb),
        ],
        lambda answer, findings: repaired_triage(answer, findings, reference, kb.models.judgements),
    )


def resolver_task(
    case: ResolverInput, kb: KnowledgeBase, modelfile: str = "resolver"
) -> Task[Resolution]:
    """Stage 2: how are the shares of `case` found?"""
    reference = resolve(case, kb)
    return Task(
        "resolver",
        resolver_prompt(case, modelfile),
        RESOLUTION,
        reference,
        lambda answer: [
            *check_resolution(answer, kb, reference, case.ftd_qty),
            *check_prose(answer, reference, case, kb),
        ],
        lambda answer, findings: repaired_plan(answer, findings, reference, kb.models.judgements),
    )


def answer_schema(shape: Codec[Any]) -> dict[str, Any]:
    """What `format` takes: `shape` as a grammar can hold it, fields in the order that the models
    were trained on.

    Structure and closed word lists only. Grammars skip bounds and patterns silently or enforce them
    in part; ranges are checked afterwards in any case.
    """
    schema = shape.json_schema
    return _plain(schema, schema["$defs"])


_KEPT = ("type", "enum", "const")


def _plain(schema: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _plain(defined[schema["$ref"].rpartition("/")[2]], defined)
    if "anyOf" in schema:
        return {"anyOf": [_plain(branch, defined) for branch in schema["anyOf"]]}
    plain = {key: schema[key] for key in _KEPT if key in schema}
    if "properties" in schema:
        plain["properties"] = {
            name: _plain(inner, defined) for name, inner in schema["properties"].items()
        }
        plain["required"] = list(schema["properties"])
        plain["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        plain["items"] = _plain(schema["items"], defined)
    return plain
