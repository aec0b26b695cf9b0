"""What the tiny models are trained on: whole answers to records, and drills of the working in them (`foundry.tiny_drills`).

Rows are made as they are needed: an index is seen once, so no row is learned by heart. The prompt is the one that inference sends
to a tiny model: the system text of its own Modelfile, and no empty think block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from finops_cli.domain import exact_json, text_form
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput
from finops_cli.foundry.resolver_examples import cases
from finops_cli.foundry.split import Split, content_key, split_of
from finops_cli.foundry.tiny_digits import LARGEST
from finops_cli.foundry.tiny_drills import (
    CLOSING,
    OPENING,
    Segment,
    copy_drill,
    guess_drill,
    reckoning_drill,
    resolver_drill,
    triage_drill,
)
from finops_cli.foundry.tiny_resolver_answer import tiny_plan
from finops_cli.foundry.tiny_resolver_trace import listed, tiny_trace
from finops_cli.foundry.tiny_tokenizer import TURN_ENDS
from finops_cli.foundry.tiny_triage_trace import triage_trace
from finops_cli.foundry.trace_reading import read
from finops_cli.foundry.triage_examples import Profile, fails
from finops_cli.kb.book import Book
from finops_cli.kb.load import data_folder
from finops_cli.models.modelfile import read_modelfile
from finops_cli.models.prompts import CASE_HEADING, Conversation, case_json, neutralised
from finops_cli.models.protocol import ModelStage
from finops_cli.rules.triage import triage

Kind = Literal[
    "copy drill",
    "triage",
    "triage market",
    "triage drill",
    "resolver",
    "resolver reading",
    "resolver drill",
    "guess drill",
    "reckoning drill",
]
"""Coverage and market are the profiles of `foundry.triage_examples`."""
E = TypeVar("E", FailRecord, ResolverInput)


def tiny_row(kind: Kind, index: int, seed: int, book: Book, most_ftrs: int | None = None) -> list[Segment]:
    """Row `index` of its kind. `most_ftrs`: the fails to receive of a resolver input, at most."""
    if kind in ("resolver", "resolver reading", "resolver drill"):
        case = unseen_case(index, seed, book, most_ftrs, "train")
        return {"resolver": answered_case, "resolver reading": case_read, "resolver drill": resolver_drill}[kind](case, book)
    return _KINDS[kind](index, seed, book)


def answered_fail(record: FailRecord, book: Book) -> list[Segment]:
    """Prompt and answer of stage 1."""
    answer = triage(record, book)
    worked = triage_trace(record, answer, book)
    return _turns(triage_conversation(record), worked, exact_json.encode(answer).decode())


def answered_case(case: ResolverInput, book: Book) -> list[Segment]:
    """Prompt and answer of stage 2. Raises ValueError for what `tiny_trace` has no room for."""
    plan = tiny_plan(case, book)
    return _turns(resolver_conversation(case), tiny_trace(case, plan, book), exact_json.encode(plan).decode())


def case_read(case: ResolverInput, book: Book) -> list[Segment]:
    """The prompt of stage 2 and what is read off it, without what follows from that."""
    read_off = "\n".join(listed(read(case, tiny_plan(case, book), book)))
    return [Segment(resolver_conversation(case).text, False), Segment(f"{OPENING}{read_off}\nowed {case.ftd_qty} ", True)]


def triage_conversation(record: FailRecord) -> Conversation:
    """The prompt that a tiny triage model gets."""
    return Conversation(_system("triage"), neutralised(text_form.render(record)), thinks=True)


def resolver_conversation(case: ResolverInput) -> Conversation:
    """The prompt that a tiny resolver gets."""
    return Conversation(_system("resolver"), neutralised(f"{CASE_HEADING}\n{case_json(case)}"), thinks=True)


def _system(stage: ModelStage) -> str:
    return read_modelfile(data_folder("modelfiles") / f"tiny-{stage}.Modelfile").prompt


def _turns(asked: Conversation, worked: str, answer: str) -> list[Segment]:
    return [Segment(asked.text, False), Segment(f"{OPENING}{worked}{CLOSING}{answer}{TURN_ENDS}\n", True)]


def unseen_fail(index: int, seed: int, book: Book, profile: Profile = "coverage", split: Split = "eval") -> FailRecord:
    """A record whose content belongs to `split`: the evaluation's is in no training row, whatever their seed."""
    return _first(fails(index, seed, book, profile), split, book)


def unseen_case(index: int, seed: int, book: Book, most_ftrs: int | None = None, split: Split = "eval") -> ResolverInput:
    """The same for stage 2, of no more shares than the working has room for."""
    drawn = cases(index, seed, book, None if most_ftrs is None else (1, most_ftrs))
    return _first((case for case in drawn if case.ftd_qty <= LARGEST), split, book)


def _first(examples: Iterable[E], split: Split, book: Book) -> E:
    every = book.data.eval_every
    return next(example for example in examples if split_of(content_key(example), every) == split)


_KINDS: dict[Kind, Callable[[int, int, Book], list[Segment]]] = {
    "copy drill": lambda index, seed, book: copy_drill(index, seed),
    "triage": lambda index, seed, book: answered_fail(unseen_fail(index, seed, book, "coverage", "train"), book),
    "triage market": lambda index, seed, book: answered_fail(unseen_fail(index, seed, book, "market", "train"), book),
    "triage drill": triage_drill,
    "guess drill": lambda index, seed, book: guess_drill(index, seed),
    "reckoning drill": lambda index, seed, book: reckoning_drill(index, seed),
}
