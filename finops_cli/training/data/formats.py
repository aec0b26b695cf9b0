"""The formats of the examples of a stream.

A format decides the text that a model is trained to write. It changes neither the prompt nor the
grading of answers.

`card` is the format of the published models and of `finops generate`. Models of a few million
parameters cannot reason in whole sentences. With `scratchpad` they write small steps before the
answer. It also has auxiliary tasks that practise these steps; `data.mix` mixes them in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.auxiliary_tasks import (
    AuxiliaryTask,
    make_arithmetic_task,
    make_copy_task,
    make_quotient_digit_task,
    make_resolver_task,
    make_triage_task,
)
from finops_cli.datasets.scratchpad.rows import (
    make_case,
    make_case_row,
    make_fail_row,
    make_reading_task,
    make_resolver_row,
    make_round_lots_case,
    make_round_lots_fail_row,
)
from finops_cli.datasets.writer import DatasetOptions, row_at
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.recipe_schema import Data

Example = Row | AuxiliaryTask
ExampleMaker = Callable[[DatasetOptions, int, KnowledgeBase, Data], Example]
"""Return the example at an index of the stream. Equal arguments give equal examples."""
ANSWERS = "answers"
"""The kind of example that is a whole row: a prompt with its answer."""
SEEDS = {ANSWERS: 0, "scratchpad": 1, "reading": 2, "round_lots": 3}
"""Added to the seed of a stream, so that auxiliary tasks use other records than the rows do."""


class ExampleFormat(NamedTuple):
    """A text format for the examples of a stream."""

    make_row: Callable[[DatasetOptions, int, KnowledgeBase, Data], Row]
    """Make the row at an index, which a model answers and a grader grades."""
    kinds: dict[str, ExampleMaker]
    """Makers of further kinds of example, by their name in `data.mix`."""

    def find_maker(self, kind: str) -> ExampleMaker:
        """Return the maker of a kind. Raises UsageError that lists the known kinds."""
        if kind != ANSWERS and kind not in self.kinds:
            raise UsageError(
                f"data.mix has no kind {kind}. Expected one of:"
                f" {', '.join((ANSWERS, *self.kinds))}."
            )
        return self.make_row if kind == ANSWERS else self.kinds[kind]


def _make_card_row(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if data.modelfile != order.stage:
        raise UsageError(
            f"data.format=card needs data.modelfile={order.stage}: its rows have that prompt"
        )
    return row_at(order, index, kb)


def _make_scratchpad_row(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage == "triage":
        return make_fail_row(index, order.seed, kb, order.profile, data.modelfile)
    if order.stage == "resolver":
        return make_case_row(index, order.seed, kb, data.max_ftrs, data.modelfile)
    raise UsageError(
        f"data.format=scratchpad does not exist for {order.stage}, whose model answers with one"
        " word. Expected data.format=card."
    )


def _make_market_row(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage != "triage":
        raise UsageError("data.mix: the kind market exists for triage only")
    return make_fail_row(index, order.seed, kb, "market", data.modelfile)


def _make_copying_task(
    order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data
) -> AuxiliaryTask:
    return AuxiliaryTask(f"copying {index}", tuple(make_copy_task(index, order.seed)))


def _make_scratchpad_task(
    order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data
) -> AuxiliaryTask:
    seed = order.seed + SEEDS["scratchpad"]
    if order.stage == "triage":
        return AuxiliaryTask(f"scratchpad {index}", tuple(make_triage_task(index, seed, kb)))
    return AuxiliaryTask(
        f"scratchpad {index}",
        tuple(make_resolver_task(make_case(index, seed, kb, data.max_ftrs), kb)),
    )


def _only_for_resolver(maker: ExampleMaker) -> ExampleMaker:
    """Wrap a maker so that it refuses other stages."""

    def make(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Example:
        if order.stage != "resolver":
            kinds = ", ".join((ANSWERS, "copying", "market", "round_lots", "scratchpad"))
            raise UsageError(
                "data.mix: the kinds reading, quotient_digits and arithmetic exist for the resolver"
                f" only. Expected for {order.stage}: {kinds}."
            )
        return maker(order, index, kb, data)

    return make


def _make_reading_task(
    order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data
) -> AuxiliaryTask:
    case = make_case(index, order.seed + SEEDS["reading"], kb, data.max_ftrs)
    return AuxiliaryTask(f"reading {index}", tuple(make_reading_task(case, kb, data.modelfile)))


def _make_round_lots_row(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage == "triage":
        return make_round_lots_fail_row(
            index, order.seed + SEEDS["round_lots"], kb, order.profile, data.modelfile
        )
    return make_resolver_row(
        make_round_lots_case(index, order.seed + SEEDS["round_lots"], kb, data.max_ftrs),
        kb,
        data.modelfile,
    )


def _make_quotient_digits_task(
    order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data
) -> AuxiliaryTask:
    return AuxiliaryTask(
        f"quotient_digits {index}", tuple(make_quotient_digit_task(index, order.seed))
    )


def _make_arithmetic_task(
    order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data
) -> AuxiliaryTask:
    return AuxiliaryTask(f"arithmetic {index}", tuple(make_arithmetic_task(index, order.seed)))


FORMATS: dict[str, ExampleFormat] = {
    "card": ExampleFormat(_make_card_row, {}),
    "scratchpad": ExampleFormat(
        _make_scratchpad_row,
        {
            "market": _make_market_row,
            "copying": _make_copying_task,
            "scratchpad": _make_scratchpad_task,
            "round_lots": _make_round_lots_row,
            "reading": _only_for_resolver(_make_reading_task),
            "quotient_digits": _only_for_resolver(_make_quotient_digits_task),
            "arithmetic": _only_for_resolver(_make_arithmetic_task),
        },
    ),
}


def find_format(name: str) -> ExampleFormat:
    """Return the format of that name. Raises UsageError that lists the known formats."""
    if name not in FORMATS:
        raise UsageError(f"data.format is {name}. Expected one of: {', '.join(FORMATS)}.")
    return FORMATS[name]
