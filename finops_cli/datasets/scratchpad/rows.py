"""Make training rows for the tiny models: records with a scratchpad before the answer.

Rows are made when they are needed. Each index is used once, so a model cannot memorise rows.
Auxiliary tasks are in `scratchpad.auxiliary_tasks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from finops_cli.datasets.reasoning.walkthrough import read
from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.rows import Row, row_of
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.scratchpad.auxiliary_tasks import CLOSING, OPENING, Piece
from finops_cli.datasets.scratchpad.digits import LARGEST
from finops_cli.datasets.scratchpad.resolver import render_input_lines, render_resolver_scratchpad
from finops_cli.datasets.scratchpad.round_lots import round_fail_to_lots, round_record_to_lots
from finops_cli.datasets.scratchpad.short_plan import make_short_plan
from finops_cli.datasets.scratchpad.triage import render_triage_scratchpad
from finops_cli.datasets.splits import content_key, first_in_split, split_of
from finops_cli.datasets.triage_examples import Profile, fails
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.rules.triage import triage


def make_fail_row(
    index: int, seed: int, kb: KnowledgeBase, profile: Profile, modelfile: str
) -> Row:
    """Make row `index` of stage 1 with the prompt of `modelfile`."""
    record = first_in_split(fails(index, seed, kb, profile), index, kb.datasets.eval_every)
    return make_triage_row(record, kb, modelfile)


def make_round_lots_fail_row(
    index: int, seed: int, kb: KnowledgeBase, profile: Profile, modelfile: str
) -> Row:
    """Make row `index` of stage 1 from a record in round lots (`scratchpad.round_lots`)."""
    draw = rng(seed, "lots", index)
    record = first_in_split(
        (round_record_to_lots(fail, draw) for fail in fails(index, seed, kb, profile)),
        index,
        kb.datasets.eval_every,
    )
    return make_triage_row(record, kb, modelfile)


def make_triage_row(record: FailRecord, kb: KnowledgeBase, modelfile: str) -> Row:
    """Make the row of a record: prompt, scratchpad and answer."""
    answer = triage(record, kb)
    return _make_row(
        "triage",
        record,
        triage_prompt(record, modelfile),
        render_triage_scratchpad(record, answer, kb),
        answer,
        kb,
    )


def make_case_row(
    index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None, modelfile: str
) -> Row:
    """Make row `index` of stage 2 (`make_case`)."""
    return make_resolver_row(make_case(index, seed, kb, most_ftrs), kb, modelfile)


def make_case(index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None) -> ResolverInput:
    """Make case `index`. Its shares fit into the scratchpad, and it has at most `most_ftrs` fails
    to receive.
    """
    return _first_that_fits(cases(index, seed, kb, _counts(most_ftrs)), index, kb)


def make_round_lots_case(
    index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None
) -> ResolverInput:
    """Make case `index` in round lots (`scratchpad.round_lots`).

    Some cases have no fail to receive.
    """
    lots = partial(round_fail_to_lots, kb=kb, draw=rng(seed, "lots", index))
    return _first_that_fits(cases(index, seed, kb, _counts(most_ftrs), lots), index, kb)


def _counts(most_ftrs: int | None) -> tuple[int, int] | None:
    return None if most_ftrs is None else (1, most_ftrs)


def _first_that_fits(
    drawn: Iterator[ResolverInput], index: int, kb: KnowledgeBase
) -> ResolverInput:
    return first_in_split(
        (case for case in drawn if case.ftd_qty <= LARGEST), index, kb.datasets.eval_every
    )


def make_resolver_row(case: ResolverInput, kb: KnowledgeBase, modelfile: str) -> Row:
    """Make the row of a case: prompt, scratchpad and plan.

    Raises ValueError if the case does not fit into a scratchpad.
    """
    plan = make_short_plan(case, kb)
    return _make_row(
        "resolver",
        case,
        resolver_prompt(case, modelfile),
        render_resolver_scratchpad(case, plan, kb),
        plan,
        kb,
    )


def _make_row(
    stage: StageName,
    given: FailRecord | ResolverInput,
    prompt: Conversation,
    working: str,
    answer: Triage | Resolution,
    kb: KnowledgeBase,
) -> Row:
    answer_json = exact_json.encode(answer).decode()
    split = split_of(content_key(given), kb.datasets.eval_every)
    completion = f"{OPENING}{working}{CLOSING}{answer_json}"
    return row_of(
        name=given.fail_id or "",
        stage=stage,
        split=split,
        asked=prompt,
        completion=completion,
        record=exact_json.encode(given).decode(),
        answer=answer_json,
    )


def make_reading_task(case: ResolverInput, kb: KnowledgeBase, modelfile: str) -> list[Piece]:
    """Make a task of the prompt of stage 2 and the lines that are copied from the case."""
    read_off = "\n".join(render_input_lines(read(case, make_short_plan(case, kb), kb)))
    return [
        Piece(resolver_prompt(case, modelfile).text, False),
        Piece(f"{OPENING}{read_off}\nowed {case.ftd_qty} ", True),
    ]
