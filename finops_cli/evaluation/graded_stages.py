"""The stages whose answers an evaluation grades, one row each.

They are the rows of `datasets.stages.STAGES` that a backend serves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from msgspec.structs import asdict

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import ANSWER_FIELDS, StageName
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.evaluation.plan_coverage import PlanShares, plan_shares
from finops_cli.evaluation.strata import Strata, strata_of_case, strata_of_fail
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.parse import parse_case, parse_case_line, parse_fail, parse_fail_line
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION, Codec, triage_codec
from finops_cli.verify.free_text import check_prose, check_reason
from finops_cli.verify.sentences.check import check_plan_sentences, check_triage_sentence

Record = FailRecord | ResolverInput
_OWN_FIELDS = tuple(
    name for name in Triage.__struct_fields__ if name not in ("score_components", "reason")
)
TRIAGE_FIELDS = _OWN_FIELDS + ScoreComponents.__struct_fields__
PLAN_FIELDS = (
    "steps",
    *(
        name
        for name in Resolution.__struct_fields__
        if name not in ("resolution_steps", "escalation_reason", "narrative")
    ),
)


def triage_fields(answer: Triage) -> dict[str, Any]:
    """Return every graded field of a triage.

    Sentences are graded by the facts that they state, not by their wording.
    """
    fields = {name: getattr(answer, name) for name in _OWN_FIELDS}
    return fields | asdict(answer.score_components)


def plan_fields(plan: Resolution) -> dict[str, Any]:
    """Return every graded field of a plan. A step is its action, participant and shares."""
    steps = [(step.action, step.dtc, step.qty) for step in plan.resolution_steps]
    return {"steps": steps} | {name: getattr(plan, name) for name in PLAN_FIELDS if name != "steps"}


class SentenceCount(NamedTuple):
    """The sentences of an answer, and how many of them --prose strict replaces."""

    all: int
    replaced: int


def _count_reason(
    fail: FailRecord, reference: Triage, answer: Triage, kb: KnowledgeBase
) -> SentenceCount:
    found = [
        *check_reason(answer, reference, fail, kb),
        *check_triage_sentence(answer, reference, fail, kb),
    ]
    return SentenceCount(1, 1 if found else 0)


def _count_prose(
    case: ResolverInput, reference: Resolution, answer: Resolution, kb: KnowledgeBase
) -> SentenceCount:
    found = [
        *check_prose(answer, reference, case, kb),
        *check_plan_sentences(answer, reference, case, kb),
    ]
    count = len(answer.resolution_steps) + 1 + bool(answer.escalation_reason)
    return SentenceCount(count, len({finding.path for finding in found}))


@dataclass(frozen=True, kw_only=True, slots=True)
class GradedStage:
    """Everything that an evaluation needs to know about one stage."""

    name: StageName
    command: Literal["triage", "resolve"]
    """The command that runs only this stage."""
    record_fields: tuple[str, ...]
    """The columns that a file of its records may have."""
    parse_line: Callable[[bytes, KnowledgeBase], Record | None]
    parse: Callable[[Any, KnowledgeBase], Record | None]
    answer: Callable[[Any, KnowledgeBase], Any]
    """Compute the rules' answer to a record."""
    codec: Callable[[KnowledgeBase], Codec[Any]]
    """Reads its answers, whose shape may depend on the knowledge base."""
    fields: tuple[str, ...]
    """The fields that every answer has; a knowledge base may add factors of the score."""
    fields_of: Callable[[Any], dict[str, Any]]
    strata: Callable[[Any, Any, KnowledgeBase], Strata]
    """Return the groups of a record, from the record and the rules' answer."""
    sentences: Callable[[Any, Any, Any, KnowledgeBase], SentenceCount]
    """Count the sentences of an answer, from the record, the rules' answer and the answer."""
    plan_shares: Callable[[Any, Any, Any, KnowledgeBase], PlanShares] | None = None
    """Count the shares of stock that a plan covers; None for a stage that makes no plan."""
    matrices: tuple[str, ...]
    """Fields with a confusion matrix."""
    compared: tuple[str, ...]
    """Fields that `finops compare` compares."""
    has_tiers: bool
    """The answers have a tier, an escalation level and a score."""
    has_baselines: bool
    """Text classifiers can learn a field of the answers."""
    drift_dimension: str
    """The dimension that only lines with an answer of this stage have."""

    @property
    def answer_field(self) -> str:
        """The field of an output line, and of its `verification` and `raw`, for this stage."""
        return ANSWER_FIELDS[self.name]


GRADED_STAGES: dict[str, GradedStage] = {
    stage.name: stage
    for stage in (
        GradedStage(
            name="triage",
            record_fields=(*FailRecord.__struct_fields__, "text"),
            command="triage",
            parse_line=lambda line, kb: parse_fail_line(line, InputPolicy(kb)).value,
            parse=lambda record, kb: parse_fail(record, InputPolicy(kb)).value,
            answer=triage,
            codec=lambda kb: triage_codec(kb.scoring.components),
            fields=TRIAGE_FIELDS,
            fields_of=triage_fields,
            strata=strata_of_fail,
            sentences=_count_reason,
            matrices=("priority_tier", "category", "action", "escalation_level"),
            compared=(
                "priority_tier",
                "category",
                "action",
                "escalation_level",
                "priority_score",
                "flags",
            ),
            has_tiers=True,
            has_baselines=True,
            drift_dimension="tier",
        ),
        GradedStage(
            name="resolver",
            record_fields=ResolverInput.__struct_fields__,
            command="resolve",
            parse_line=lambda line, kb: parse_case_line(line, kb).value,
            parse=lambda record, kb: parse_case(record, kb).value,
            answer=resolve,
            codec=lambda kb: RESOLUTION,
            fields=PLAN_FIELDS,
            fields_of=plan_fields,
            strata=strata_of_case,
            sentences=_count_prose,
            plan_shares=plan_shares,
            matrices=("fallback_strategy", "gridlock_detected", "residual_action"),
            compared=(
                "steps",
                "fallback_strategy",
                "total_coverable",
                "residual_short",
                "gridlock_detected",
            ),
            has_tiers=False,
            has_baselines=False,
            drift_dimension="fallback",
        ),
    )
}
