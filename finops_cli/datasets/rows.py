"""Rows of a training set.

A row contains the conversation that inference sends, the expected completion, the record, and the
rules' answer.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from finops_cli.datasets.reasoning.check import check_reasoning
from finops_cli.datasets.reasoning.render import render_reasoning
from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.splits import Split, content_key, first_in_split, split_of
from finops_cli.datasets.triage_examples import Profile, fails
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import FAIL, RESOLUTION, RESOLVER_INPUT, triage_codec
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage

_THINK, _END_THINK = "<think>\n", "\n</think>\n\n"


class Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class TemplateArguments(Struct, frozen=True):
    """The arguments of the model's chat template that produce the prompt of inference."""

    enable_thinking: bool


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example, in the prompt/completion format of the trainer TRL."""

    id: str
    stage: StageName
    split: Split
    prompt: list[Message]
    completion: list[Message]
    chat_template_kwargs: TemplateArguments
    record: str
    """The record, as JSON text, so that all rows have one schema."""
    answer: str
    """The rules' answer, as JSON text."""


def triage_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    """Make example `index` of the triage set."""
    every = kb.datasets.eval_every
    return row_of_fail(first_in_split(fails(index, seed, kb, profile), index, every), kb)


def row_of_fail(record: FailRecord, kb: KnowledgeBase) -> Row:
    """Make the row of a fail record. Everything in it follows from the record and the rules."""
    answer = exact_json.encode(triage(record, kb)).decode()
    split = split_of(content_key(record), kb.datasets.eval_every)
    given = exact_json.encode(record).decode()
    return row_of(
        name=record.fail_id or "",
        stage="triage",
        split=split,
        asked=triage_prompt(record),
        completion=answer,
        record=given,
        answer=answer,
    )


def resolver_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile = "coverage") -> Row:
    """Make example `index` of the resolver set.

    An example that does not fit into the training length is drawn again. Every profile has the same
    cases.
    """
    drawn = cases(index, seed, kb)
    while True:
        case = first_in_split(drawn, index, kb.datasets.eval_every)
        row = row_of_case(case, kb)
        if len(case.ftrs) <= _SURELY_SHORT or fits(
            resolver_prompt(case), row.completion[0].content, kb
        ):
            return row


def row_of_case(case: ResolverInput, kb: KnowledgeBase) -> Row:
    """Make the row of a case. The completion is the reasoning, then the plan."""
    plan = resolve(case, kb)
    answer = exact_json.encode(plan).decode()
    completion = f"{_THINK}{render_reasoning(case, plan, kb)}{_END_THINK}{answer}"
    split = split_of(content_key(case), kb.datasets.eval_every)
    given = exact_json.encode(case).decode()
    return row_of(
        name=case.fail_id or "",
        stage="resolver",
        split=split,
        asked=resolver_prompt(case),
        completion=completion,
        record=given,
        answer=answer,
    )


_SURELY_SHORT = 20
"""Largest number of fails to receive that always fits. Above it, tokens are estimated
(docs/decisions/0008).
"""


def fits(asked: Conversation, completion: str, kb: KnowledgeBase) -> bool:
    """Check that prompt and answer fit into the training length (kb: `data.ftr_tiers`)."""
    return (
        estimated_tokens(asked.text) + estimated_tokens(completion)
        <= kb.datasets.ftr_tiers["tokens"]
    )


def row_of(
    *,
    name: str,
    stage: StageName,
    split: Split,
    asked: Conversation,
    completion: str,
    record: str,
    answer: str,
) -> Row:
    """Build a row whose prompt has a system message."""
    return Row(
        id=name,
        stage=stage,
        split=split,
        prompt=[Message("system", asked.system), Message("user", asked.user)],
        completion=[Message("assistant", completion)],
        chat_template_kwargs=TemplateArguments(asked.thinks),
        record=record,
        answer=answer,
    )


def verify_triage_row(row: Row, kb: KnowledgeBase) -> list[Finding]:
    """Check the answer as a model's answer is checked, then compare every byte of the row."""
    record = FAIL.read(exact_json.decode(row.record))
    said = triage_codec(kb.scoring.components).read(exact_json.decode(row.answer))
    if record is None or said is None:
        return [
            _fault(
                row,
                "/record" if record is None else "/answer",
                "a record and its triage",
                "does not have the shape",
            )
        ]
    return check_triage(said, kb, triage(record, kb)) or differences(row, row_of_fail(record, kb))


def verify_resolver_row(row: Row, kb: KnowledgeBase) -> list[Finding]:
    """Check the plan and its reasoning as a model's are checked, then compare every byte."""
    case = RESOLVER_INPUT.read(exact_json.decode(row.record))
    said = RESOLUTION.read(exact_json.decode(row.answer))
    if case is None or said is None:
        return [
            _fault(
                row,
                "/record" if case is None else "/answer",
                "an input and its plan",
                "does not have the shape",
            )
        ]
    found = check_resolution(said, kb, resolve(case, kb), case.ftd_qty)
    text = row.completion[0].content if row.completion else ""
    found += check_reasoning(text.removeprefix(_THINK).partition(_END_THINK)[0], case, said, kb)
    return found or differences(row, row_of_case(case, kb))


def differences(row: Row, expected: Row) -> list[Finding]:
    """Return a finding for each field that differs from the row that the record gives."""
    fields = [
        name for name in Row.__struct_fields__ if getattr(row, name) != getattr(expected, name)
    ]
    return [
        _fault(row, f"/{name}", str(getattr(expected, name)), "is not what its record gives")
        for name in fields
    ]


def _fault(row: Row, path: str, expected: str, what: str) -> Finding:
    return Finding(
        rule="data.row",
        path=path,
        expected=expected,
        actual=None,
        message=f"{row.id}: {path[1:]} {what}",
    )
