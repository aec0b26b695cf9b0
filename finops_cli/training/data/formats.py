"""The formats of the examples of a stream.

A format decides the text that a model is trained to write. It changes neither the prompt nor the
grading of answers.

`card` is the format of the published models and of `finops generate`. Models of a few million
parameters cannot reason in whole sentences. With `scratchpad` they write small steps before the
answer. It also has auxiliary tasks that practise these steps; `data.mix` mixes them in. With
`varied` the rows to train on are in other words, so that a small model does not learn templates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.auxiliary_tasks import AuxiliaryTask
from finops_cli.datasets.scratchpad.examples import StreamSettings
from finops_cli.datasets.stages import stage_named
from finops_cli.datasets.writer import DatasetOptions, row_at
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.recipe_schema import Data

Example = Row | AuxiliaryTask
E = TypeVar("E", bound=Example)
ANSWERS = "answers"
"""The kind of example that is a whole row: a prompt with its answer."""


class ExampleFormat(NamedTuple):
    """A text format for the examples of a stream. Equal arguments give equal examples."""

    make_row: Callable[[int], Row]
    """Make the row at an index, which a model answers and a grader grades."""
    kinds: dict[str, Callable[[int], Example]]
    """Makers of further kinds of example, by their name in `data.mix`."""
    cure: str = ""
    """The setting to change where an example cannot be worded."""

    def find_maker(self, kind: str) -> Callable[[int], Example]:
        """Return the maker of a kind. Raises UsageError that lists the known kinds."""
        if kind != ANSWERS and kind not in self.kinds:
            raise UsageError(
                f"data.mix has no kind {kind}. Expected one of:"
                f" {', '.join((ANSWERS, *self.kinds))}."
            )
        return self.make_row if kind == ANSWERS else self.kinds[kind]


def _open_card(options: DatasetOptions, data: Data, kb: KnowledgeBase) -> ExampleFormat:
    def make_row(index: int) -> Row:
        if data.modelfile != options.stage:
            raise UsageError(
                f"data.format=card needs data.modelfile={options.stage}: its rows have that prompt"
            )
        return row_at(options, index, kb)

    return ExampleFormat(make_row, {})


def _open_scratchpad(options: DatasetOptions, data: Data, kb: KnowledgeBase) -> ExampleFormat:
    scratchpad = stage_named(options.stage).scratchpad
    if scratchpad is None:
        raise UsageError(
            f"data.format=scratchpad does not exist for {options.stage}. Expected data.format=card."
        )
    stream = StreamSettings(options.seed, options.profile, data.modelfile, data.max_ftrs)

    def bind(maker: Callable[[int, StreamSettings, KnowledgeBase], E]) -> Callable[[int], E]:
        return lambda index: maker(index, stream, kb)

    kinds = {kind: bind(maker) for kind, maker in scratchpad.kinds.items()}
    return ExampleFormat(bind(scratchpad.make_row), kinds, scratchpad.cure)


def _open_varied(options: DatasetOptions, data: Data, kb: KnowledgeBase) -> ExampleFormat:
    vary_row = stage_named(options.stage).vary_row
    if vary_row is None:
        raise UsageError(
            f"data.format=varied does not exist for {options.stage}. Expected data.format=card."
        )
    return ExampleFormat(lambda index: vary_row(index, options.seed, kb, options.profile), {})


FORMATS: dict[str, Callable[[DatasetOptions, Data, KnowledgeBase], ExampleFormat]] = {
    "card": _open_card,
    "scratchpad": _open_scratchpad,
    "varied": _open_varied,
}


def open_format(options: DatasetOptions, data: Data, kb: KnowledgeBase) -> ExampleFormat:
    """Open the format that `data` names for the stage of `options`.

    Raises UsageError that lists the known formats, or for a stage that does not have the format.
    """
    if data.format not in FORMATS:
        raise UsageError(f"data.format is {data.format}. Expected one of: {', '.join(FORMATS)}.")
    return FORMATS[data.format](options, data, kb)
