"""The examples with a scratchpad, by stage and kind: whole rows, and auxiliary tasks that practise
one step. The row of a stage in `datasets.stages` names its table.
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
from finops_cli.datasets.triage_examples import Profile
from finops_cli.kb.rulebook import KnowledgeBase

SEEDS = {"answers": 0, "scratchpad": 1, "reading": 2, "round_lots": 3}
"""Added to the seed of a stream, so that auxiliary tasks use other records than the rows do."""


class StreamSettings(NamedTuple):
    """The settings that decide the examples of a stream."""

    seed: int
    profile: Profile
    modelfile: str
    """The name of the Modelfile whose prompt the rows have."""
    max_ftrs: int | None
    """The most fails to receive in one resolver input; None: as many as there are."""


class Scratchpad(NamedTuple):
    """The examples of one stage. Equal arguments of a maker give equal examples.

    A maker raises ValueError where the scratchpad has no room for the example.
    """

    make_row: Callable[[int, StreamSettings, KnowledgeBase], Row]
    """Make the row at an index, which a model answers and a grader grades."""
    kinds: dict[str, Callable[[int, StreamSettings, KnowledgeBase], Row | AuxiliaryTask]]
    """Makers of further kinds of example, by their name in `data.mix`."""
    cure: str = ""
    """The setting to change where the scratchpad has no room."""


def _make_fail_row(index: int, stream: StreamSettings, kb: KnowledgeBase) -> Row:
    return make_fail_row(index, stream.seed, kb, stream.profile, stream.modelfile)


def _make_market_row(index: int, stream: StreamSettings, kb: KnowledgeBase) -> Row:
    return make_fail_row(index, stream.seed, kb, "market", stream.modelfile)


def _make_round_lots_fail_row(index: int, stream: StreamSettings, kb: KnowledgeBase) -> Row:
    seed = stream.seed + SEEDS["round_lots"]
    return make_round_lots_fail_row(index, seed, kb, stream.profile, stream.modelfile)


def _make_triage_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    pieces = make_triage_task(index, stream.seed + SEEDS["scratchpad"], kb)
    return AuxiliaryTask(f"scratchpad {index}", tuple(pieces))


def _make_case_row(index: int, stream: StreamSettings, kb: KnowledgeBase) -> Row:
    return make_case_row(index, stream.seed, kb, stream.max_ftrs, stream.modelfile)


def _make_round_lots_row(index: int, stream: StreamSettings, kb: KnowledgeBase) -> Row:
    case = make_round_lots_case(index, stream.seed + SEEDS["round_lots"], kb, stream.max_ftrs)
    return make_resolver_row(case, kb, stream.modelfile)


def _make_resolver_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    case = make_case(index, stream.seed + SEEDS["scratchpad"], kb, stream.max_ftrs)
    return AuxiliaryTask(f"scratchpad {index}", tuple(make_resolver_task(case, kb)))


def _make_reading_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    case = make_case(index, stream.seed + SEEDS["reading"], kb, stream.max_ftrs)
    return AuxiliaryTask(f"reading {index}", tuple(make_reading_task(case, kb, stream.modelfile)))


def _make_copying_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    return AuxiliaryTask(f"copying {index}", tuple(make_copy_task(index, stream.seed)))


def _make_digits_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    pieces = make_quotient_digit_task(index, stream.seed)
    return AuxiliaryTask(f"quotient_digits {index}", tuple(pieces))


def _make_arithmetic_task(index: int, stream: StreamSettings, kb: KnowledgeBase) -> AuxiliaryTask:
    return AuxiliaryTask(f"arithmetic {index}", tuple(make_arithmetic_task(index, stream.seed)))


TRIAGE = Scratchpad(
    _make_fail_row,
    {
        "market": _make_market_row,
        "copying": _make_copying_task,
        "scratchpad": _make_triage_task,
        "round_lots": _make_round_lots_fail_row,
    },
)
RESOLVER = Scratchpad(
    _make_case_row,
    {
        "copying": _make_copying_task,
        "scratchpad": _make_resolver_task,
        "round_lots": _make_round_lots_row,
        "reading": _make_reading_task,
        "quotient_digits": _make_digits_task,
        "arithmetic": _make_arithmetic_task,
    },
    cure="lower data.max_ftrs",
)
