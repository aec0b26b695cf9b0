"""What the tiny models are trained on: records with their answer worked out in front. Drills stand
in `tiny_drills` and `tiny_resolver_drills`.

Rows are made as they are needed: an index is seen once, so no row is learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from finops_cli.datasets.reasoning.walkthrough import read
from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.rows import Row, row_of
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.scratchpad.digits import LARGEST
from finops_cli.datasets.scratchpad.drills import CLOSING, OPENING, Piece
from finops_cli.datasets.scratchpad.resolver import listed, tiny_trace
from finops_cli.datasets.scratchpad.round_lots import in_lots, record_in_lots
from finops_cli.datasets.scratchpad.short_plan import tiny_plan
from finops_cli.datasets.scratchpad.triage import triage_trace
from finops_cli.datasets.splits import content_key, first_in_split, split_of
from finops_cli.datasets.triage_examples import Profile, fails
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.models.protocol import ModelStage
from finops_cli.rules.triage import triage


def worked_fail(index: int, seed: int, kb: KnowledgeBase, profile: Profile, modelfile: str) -> Row:
    """Example `index` of stage 1, as the models of `modelfile` are asked and answer."""
    record = first_in_split(fails(index, seed, kb, profile), index, kb.datasets.eval_every)
    return worked_triage(record, kb, modelfile)


def worked_fail_in_lots(
    index: int, seed: int, kb: KnowledgeBase, profile: Profile, modelfile: str
) -> Row:
    """The same of a record as a desk has it (`tiny_lots`)."""
    draw = rng(seed, "lots", index)
    record = first_in_split(
        (record_in_lots(fail, draw) for fail in fails(index, seed, kb, profile)),
        index,
        kb.datasets.eval_every,
    )
    return worked_triage(record, kb, modelfile)


def worked_triage(record: FailRecord, kb: KnowledgeBase, modelfile: str) -> Row:
    """The working and the answer to a record."""
    answer = triage(record, kb)
    return _worked(
        "triage",
        record,
        triage_prompt(record, modelfile),
        triage_trace(record, answer, kb),
        answer,
        kb,
    )


def worked_case(
    index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None, modelfile: str
) -> Row:
    """Example `index` of stage 2: see `case_at`."""
    return worked_plan(case_at(index, seed, kb, most_ftrs), kb, modelfile)


def case_at(index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None) -> ResolverInput:
    """Input `index`, of no more shares than the working has room for, and of `most_ftrs` fails to
    receive at most.
    """
    return _first_that_fits(cases(index, seed, kb, _counts(most_ftrs)), index, kb)


def case_in_lots(index: int, seed: int, kb: KnowledgeBase, most_ftrs: int | None) -> ResolverInput:
    """The same of a fail as a desk has it (`tiny_lots`), and so now and then without a fail to
    receive.
    """
    lots = partial(in_lots, kb=kb, draw=rng(seed, "lots", index))
    return _first_that_fits(cases(index, seed, kb, _counts(most_ftrs), lots), index, kb)


def _counts(most_ftrs: int | None) -> tuple[int, int] | None:
    return None if most_ftrs is None else (1, most_ftrs)


def _first_that_fits(
    drawn: Iterator[ResolverInput], index: int, kb: KnowledgeBase
) -> ResolverInput:
    return first_in_split(
        (case for case in drawn if case.ftd_qty <= LARGEST), index, kb.datasets.eval_every
    )


def worked_plan(case: ResolverInput, kb: KnowledgeBase, modelfile: str) -> Row:
    """The working and the plan for a resolver input.

    Raises ValueError for what `tiny_trace` has no room for.
    """
    plan = tiny_plan(case, kb)
    return _worked(
        "resolver", case, resolver_prompt(case, modelfile), tiny_trace(case, plan, kb), plan, kb
    )


def _worked(
    stage: ModelStage,
    given: FailRecord | ResolverInput,
    prompt: Conversation,
    working: str,
    answer: Triage | Resolution,
    kb: KnowledgeBase,
) -> Row:
    said = exact_json.encode(answer).decode()
    split = split_of(content_key(given), kb.datasets.eval_every)
    completion = f"{OPENING}{working}{CLOSING}{said}"
    return row_of(
        name=given.fail_id or "",
        stage=stage,
        split=split,
        asked=prompt,
        completion=completion,
        record=exact_json.encode(given).decode(),
        answer=said,
    )


def case_read(case: ResolverInput, kb: KnowledgeBase, modelfile: str) -> list[Piece]:
    """The prompt of stage 2 and what is read off it, without what follows from that."""
    read_off = "\n".join(listed(read(case, tiny_plan(case, kb), kb)))
    return [
        Piece(resolver_prompt(case, modelfile).text, False),
        Piece(f"{OPENING}{read_off}\nowed {case.ftd_qty} ", True),
    ]
