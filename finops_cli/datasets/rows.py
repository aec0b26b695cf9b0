"""Rows of a training set: the conversation that inference sends, the wanted answer, and record and
oracle answer beside them.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from finops_cli.datasets.reasoning.check import check_reasoning
from finops_cli.datasets.reasoning.render import render_reasoning
from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.sentiment.examples import Sentence, text_split
from finops_cli.datasets.splits import Split, content_key, first_in_split, split_of
from finops_cli.datasets.triage_examples import Profile, fails
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, sentiment_prompt, triage_prompt
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import FAIL, RESOLUTION, RESOLVER_INPUT, TRIAGE
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage

Stage = Literal["triage", "resolver", "sentiment"]
_THINK, _END_THINK = "<think>\n", "\n</think>\n\n"


class Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class TemplateArguments(Struct, frozen=True):
    """What a trainer must hand to the model's chat template to get the prompt that inference
    sends.
    """

    enable_thinking: bool


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One example, as TRL reads prompt/completion data.

    `record` and `answer` are JSON texts: every row has one schema.
    """

    id: str
    stage: Stage
    split: Split
    prompt: list[Message]
    completion: list[Message]
    chat_template_kwargs: TemplateArguments
    record: str
    answer: str


def triage_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    """Example `index` of the triage set."""
    every = kb.datasets.eval_every
    return row_of_fail(first_in_split(fails(index, seed, kb, profile), index, every), kb)


def row_of_fail(record: FailRecord, kb: KnowledgeBase) -> Row:
    """The row of a fail record: everything in it follows from the record and the rules."""
    answer = exact_json.encode(triage(record, kb)).decode()
    split = split_of(content_key(record), kb.datasets.eval_every)
    given = exact_json.encode(record).decode()
    return row_of(
        record.fail_id or "", "triage", split, triage_prompt(record), answer, given, answer
    )


def resolver_row(index: int, seed: int, kb: KnowledgeBase) -> Row:
    """Example `index` of the resolver set.

    One that would not fit into the trained length is drawn anew.
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
    """The row of a resolver input: the answer is a trace, then the plan."""
    plan = resolve(case, kb)
    answer = exact_json.encode(plan).decode()
    completion = f"{_THINK}{render_reasoning(case, plan, kb)}{_END_THINK}{answer}"
    split = split_of(content_key(case), kb.datasets.eval_every)
    given = exact_json.encode(case).decode()
    return row_of(
        case.fail_id or "", "resolver", split, resolver_prompt(case), completion, given, answer
    )


_SURELY_SHORT = 20
"""Fails to receive up to which nothing came near the limit; above it tokens are estimated
(docs/decisions/0008).
"""


def fits(asked: Conversation, completion: str, kb: KnowledgeBase) -> bool:
    """Whether prompt and answer fit into the length that the model is trained on (kb:
    `data.ftr_tiers`).
    """
    return (
        estimated_tokens(asked.text) + estimated_tokens(completion)
        <= kb.datasets.ftr_tiers["tokens"]
    )


def sentiment_row(name: str, said: Sentence) -> Row:
    """A labelled sentence as a row; its split is the one that its text gives."""
    given = exact_json.encode(said).decode()
    asked = [Message("user", sentiment_prompt(said.text))]
    answer = [Message("assistant", said.label)]
    return Row(
        name,
        "sentiment",
        text_split(said.text),
        asked,
        answer,
        TemplateArguments(False),
        given,
        said.label,
    )


def row_of(
    name: str,
    stage: Stage,
    split: Split,
    asked: Conversation,
    completion: str,
    record: str,
    answer: str,
) -> Row:
    """A row of stage 1 or 2 from its parts."""
    return Row(
        name,
        stage,
        split,
        [Message("system", asked.system), Message("user", asked.user)],
        [Message("assistant", completion)],
        TemplateArguments(asked.thinks),
        record,
        answer,
    )


def faults_of(row: Row, kb: KnowledgeBase) -> list[Finding]:
    """What is wrong with a row, read from its texts alone; nothing when it is good.

    First the answer and its trace are judged as a model's would be; then every byte is held against
    the row that its record gives.
    """
    try:
        if row.stage == "sentiment":
            return _differences(row, sentiment_row(row.id, sentence_of(row)))
        given, answer = exact_json.decode(row.record), exact_json.decode(row.answer)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return [Finding("data.row", "", "JSON texts", None, f"{row.id}: {error}")]
    return (
        _triage_faults(row, given, answer, kb)
        if row.stage == "triage"
        else _resolver_faults(row, given, answer, kb)
    )


def _triage_faults(row: Row, given: object, answer: object, kb: KnowledgeBase) -> list[Finding]:
    record, said = FAIL.read(given), TRIAGE.read(answer)
    if record is None or said is None:
        return [
            _fault(
                row,
                "/record" if record is None else "/answer",
                "a record and its triage",
                "does not have the shape",
            )
        ]
    return check_triage(said, kb, triage(record, kb)) or _differences(row, row_of_fail(record, kb))


def _resolver_faults(row: Row, given: object, answer: object, kb: KnowledgeBase) -> list[Finding]:
    case, said = RESOLVER_INPUT.read(given), RESOLUTION.read(answer)
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
    return found or _differences(row, row_of_case(case, kb))


def _differences(row: Row, expected: Row) -> list[Finding]:
    fields = [
        name for name in Row.__struct_fields__ if getattr(row, name) != getattr(expected, name)
    ]
    return [
        _fault(row, f"/{name}", str(getattr(expected, name)), "is not what its record gives")
        for name in fields
    ]


def sentence_of(row: Row) -> Sentence:
    """The sentence of a sentiment row. Raises ValueError when its record is none."""
    return msgspec.json.decode(row.record, type=Sentence)


def _fault(row: Row, path: str, expected: str, what: str) -> Finding:
    return Finding("data.row", path, expected, None, f"{row.id}: {path[1:]} {what}")
