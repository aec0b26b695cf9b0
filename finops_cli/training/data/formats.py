"""How the examples of a stream are worded. A form decides what a model is trained to say; what it
is asked, and how it is judged, it does not.

`card` is the form of the cards and of `finops generate`. Models of a few million parameters cannot
reason in whole sentences: `worked` has them write a working of small steps before the answer, and
has drills of that working, which `data.mix` mixes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.drills import (
    Drill,
    copy_drill,
    guess_drill,
    reckoning_drill,
    resolver_drill,
    triage_drill,
)
from finops_cli.datasets.scratchpad.rows import (
    case_at,
    case_in_lots,
    case_read,
    worked_case,
    worked_fail,
    worked_fail_in_lots,
    worked_plan,
)
from finops_cli.datasets.writer import DatasetOptions, row_at
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.recipe_schema import Data

Example = Row | Drill
Maker = Callable[[DatasetOptions, int, KnowledgeBase, Data], Example]
"""An example from its place in the stream. It depends on these four alone."""
ANSWERS = "answers"
"""The kind in a mix that is the form's own rows."""
SEEDS = {ANSWERS: 0, "working": 1, "reading": 2, "lots": 3}
"""What is added to the seed of a stream, so that drills show other records than those that are
answered.
"""


class ExampleFormat(NamedTuple):
    """`row` is what is asked, answered and judged at a place of the stream; `kinds` are further
    examples, by their name in a mix.
    """

    row: Callable[[DatasetOptions, int, KnowledgeBase, Data], Row]
    kinds: dict[str, Maker]

    def maker(self, kind: str) -> Maker:
        """Raises UsageError naming the kinds that there are."""
        if kind != ANSWERS and kind not in self.kinds:
            raise UsageError(
                f"data.mix names {kind}; accepted: {', '.join((ANSWERS, *self.kinds))}"
            )
        return self.row if kind == ANSWERS else self.kinds[kind]


def _card(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if data.modelfile != order.stage:
        raise UsageError(
            f"data.form=card goes with data.modelfile={order.stage}: its rows are asked as that"
            " one is"
        )
    return row_at(order, index, kb)


def _worked(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage == "triage":
        return worked_fail(index, order.seed, kb, order.profile, data.modelfile)
    if order.stage == "resolver":
        return worked_case(index, order.seed, kb, data.most_ftrs, data.modelfile)
    raise UsageError(
        f"data.form=worked is for triage and resolver; the model of {order.stage} answers with one"
        " word"
    )


def _market(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage != "triage":
        raise UsageError("data.mix: market is a profile of triage records")
    return worked_fail(index, order.seed, kb, "market", data.modelfile)


def _copying(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Drill:
    return Drill(f"copying {index}", tuple(copy_drill(index, order.seed)))


def _working(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Drill:
    seed = order.seed + SEEDS["working"]
    if order.stage == "triage":
        return Drill(f"working {index}", tuple(triage_drill(index, seed, kb)))
    return Drill(
        f"working {index}", tuple(resolver_drill(case_at(index, seed, kb, data.most_ftrs), kb))
    )


def _of_the_resolver(maker: Maker) -> Maker:
    def checked(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Example:
        if order.stage != "resolver":
            kinds = ", ".join((ANSWERS, "copying", "lots", "market", "working"))
            raise UsageError(
                "data.mix: reading, guessing and reckoning are kinds of the resolver;"
                f" {order.stage} has {kinds}"
            )
        return maker(order, index, kb, data)

    return checked


def _reading(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Drill:
    case = case_at(index, order.seed + SEEDS["reading"], kb, data.most_ftrs)
    return Drill(f"reading {index}", tuple(case_read(case, kb, data.modelfile)))


def _lots(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Row:
    if order.stage == "triage":
        return worked_fail_in_lots(
            index, order.seed + SEEDS["lots"], kb, order.profile, data.modelfile
        )
    return worked_plan(
        case_in_lots(index, order.seed + SEEDS["lots"], kb, data.most_ftrs), kb, data.modelfile
    )


def _guessing(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Drill:
    return Drill(f"guessing {index}", tuple(guess_drill(index, order.seed)))


def _reckoning(order: DatasetOptions, index: int, kb: KnowledgeBase, data: Data) -> Drill:
    return Drill(f"reckoning {index}", tuple(reckoning_drill(index, order.seed)))


FORMATS: dict[str, ExampleFormat] = {
    "card": ExampleFormat(_card, {}),
    "worked": ExampleFormat(
        _worked,
        {
            "market": _market,
            "copying": _copying,
            "working": _working,
            "lots": _lots,
            "reading": _of_the_resolver(_reading),
            "guessing": _of_the_resolver(_guessing),
            "reckoning": _of_the_resolver(_reckoning),
        },
    ),
}


def format_named(name: str) -> ExampleFormat:
    """Raises UsageError naming the forms that there are."""
    if name not in FORMATS:
        raise UsageError(f"data.form is {name}; accepted: {', '.join(FORMATS)}")
    return FORMATS[name]
