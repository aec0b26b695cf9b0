"""What the tiny models are trained on: records with their answer worked out in front. Drills stand
in `tiny_drills` and `tiny_resolver_drills`.

Rows are made as they are needed: an index is seen once, so no row is learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.foundry.draws import rng
from finops_cli.foundry.drill import Piece
from finops_cli.foundry.resolver_examples import cases
from finops_cli.foundry.rows import Row, row_of
from finops_cli.foundry.split import content_key, first_in_split, split_of
from finops_cli.foundry.tiny_digits import LARGEST
from finops_cli.foundry.tiny_drills import CLOSING, OPENING
from finops_cli.foundry.tiny_lots import in_lots, record_in_lots
from finops_cli.foundry.tiny_resolver_answer import tiny_plan
from finops_cli.foundry.tiny_resolver_trace import listed, tiny_trace
from finops_cli.foundry.tiny_triage_trace import triage_trace
from finops_cli.foundry.trace_reading import read
from finops_cli.foundry.triage_examples import Profile, fails
from finops_cli.kb.book import Book
from finops_cli.models.prompts import Conversation, resolver_prompt, triage_prompt
from finops_cli.models.protocol import ModelStage
from finops_cli.rules.triage import triage


def worked_fail(index: int, seed: int, book: Book, profile: Profile, modelfile: str) -> Row:
    """Example `index` of stage 1, as the models of `modelfile` are asked and answer."""
    record = first_in_split(fails(index, seed, book, profile), index, book.data.eval_every)
    return worked_triage(record, book, modelfile)


def worked_fail_in_lots(index: int, seed: int, book: Book, profile: Profile, modelfile: str) -> Row:
    """The same of a record as a desk has it (`tiny_lots`)."""
    draw = rng(seed, "lots", index)
    record = first_in_split(
        (record_in_lots(fail, draw) for fail in fails(index, seed, book, profile)),
        index,
        book.data.eval_every,
    )
    return worked_triage(record, book, modelfile)


def worked_triage(record: FailRecord, book: Book, modelfile: str) -> Row:
    """The working and the answer to a record."""
    answer = triage(record, book)
    return _worked(
        "triage",
        record,
        triage_prompt(record, modelfile),
        triage_trace(record, answer, book),
        answer,
        book,
    )


def worked_case(index: int, seed: int, book: Book, most_ftrs: int | None, modelfile: str) -> Row:
    """Example `index` of stage 2: see `case_at`."""
    return worked_plan(case_at(index, seed, book, most_ftrs), book, modelfile)


def case_at(index: int, seed: int, book: Book, most_ftrs: int | None) -> ResolverInput:
    """Input `index`, of no more shares than the working has room for, and of `most_ftrs` fails to
    receive at most.
    """
    return _first_that_fits(cases(index, seed, book, _counts(most_ftrs)), index, book)


def case_in_lots(index: int, seed: int, book: Book, most_ftrs: int | None) -> ResolverInput:
    """The same of a fail as a desk has it (`tiny_lots`), and so now and then without a fail to
    receive.
    """
    lots = partial(in_lots, book=book, draw=rng(seed, "lots", index))
    return _first_that_fits(cases(index, seed, book, _counts(most_ftrs), lots), index, book)


def _counts(most_ftrs: int | None) -> tuple[int, int] | None:
    return None if most_ftrs is None else (1, most_ftrs)


def _first_that_fits(drawn: Iterator[ResolverInput], index: int, book: Book) -> ResolverInput:
    return first_in_split(
        (case for case in drawn if case.ftd_qty <= LARGEST), index, book.data.eval_every
    )


def worked_plan(case: ResolverInput, book: Book, modelfile: str) -> Row:
    """The working and the plan for a resolver input.

    Raises ValueError for what `tiny_trace` has no room for.
    """
    plan = tiny_plan(case, book)
    return _worked(
        "resolver", case, resolver_prompt(case, modelfile), tiny_trace(case, plan, book), plan, book
    )


def _worked(
    stage: ModelStage,
    given: FailRecord | ResolverInput,
    prompt: Conversation,
    working: str,
    answer: Triage | Resolution,
    book: Book,
) -> Row:
    said = exact_json.encode(answer).decode()
    split = split_of(content_key(given), book.data.eval_every)
    completion = f"{OPENING}{working}{CLOSING}{said}"
    return row_of(
        given.fail_id or "",
        stage,
        split,
        prompt,
        completion,
        exact_json.encode(given).decode(),
        said,
    )


def case_read(case: ResolverInput, book: Book, modelfile: str) -> list[Piece]:
    """The prompt of stage 2 and what is read off it, without what follows from that."""
    read_off = "\n".join(listed(read(case, tiny_plan(case, book), book)))
    return [
        Piece(resolver_prompt(case, modelfile).text, False),
        Piece(f"{OPENING}{read_off}\nowed {case.ftd_qty} ", True),
    ]
