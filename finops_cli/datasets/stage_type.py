"""The type of a row of the table `datasets.stages.STAGES`.

A row contains everything that one model stage needs, from its first example to its grade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.examples import Scratchpad
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import Task
from finops_cli.verify.codecs import Codec

Features = Iterable[tuple[str, str]]
"""The (dimension, value) pairs that the dataset report counts."""


MaskText = Callable[[str], str]
"""Masks the personal data in a text."""


class TaskAnswers(NamedTuple):
    """Answers that are JSON objects."""

    task: Callable[[Any, KnowledgeBase, str], Task[Any]]
    """Make the task from the record, the knowledge base and the name of a Modelfile.

    The task has the prompt, the codec, the check and the repair.
    """
    decision: Callable[[Any], object]
    """Return the deciding part of an answer. Answers with equal parts make the same decision."""


class LabelAnswers(NamedTuple):
    """Answers of one word."""

    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One model stage.

    Its functions must be at module level, because worker processes receive the row.
    """

    name: StageName
    record_codec: Codec[Any]
    """Decodes the field `record` of a row."""
    answers: TaskAnswers | LabelAnswers
    decision_field: str
    """The name of the decision in reports, for example "same tier"."""
    make_row: Callable[[int, int, KnowledgeBase, Profile], Row]
    """Make an example from its number and the seed. It belongs to the split that the number is
    meant for.
    """
    verify_row: Callable[[Row, KnowledgeBase], list[Finding]]
    """Return everything that is wrong with a row, from its texts alone.

    May raise ValueError, ArithmeticError or RecursionError for texts that are not JSON.
    """
    features: Callable[[Row, KnowledgeBase], Features]
    """Return the pairs that a verified row adds to the report, without its split."""
    default_rows: Callable[[KnowledgeBase], int]
    eval_every: Callable[[KnowledgeBase], int]
    """One example in this many belongs to the eval split."""
    requirements: Callable[
        [Mapping[str, Counter[str]], int, Profile, KnowledgeBase], Iterable[Requirement]
    ]
    """Test the requirements that depend on counts by dimension, except the requirement on splits.
    """
    requirements_of_rows: Callable[[Iterator[Row]], list[Requirement]] | None = None
    """Test the requirements that need the rows themselves."""
    max_distinct_rows: Callable[[], int] | None = None
    """Return the number of training rows up to which no text repeats; None without a
    limit.
    """
    import_rows: (
        Callable[[Path, Callable[[str], None], MaskText], Iterator[tuple[Row, Features]]] | None
    ) = None
    """Read rows from the user's own file (`--phrasebank`), with personal data masked."""
    scratchpad: Scratchpad | None = None
    """Its examples with a scratchpad, for `data.format=scratchpad`; None where it has none."""
    vary_row: Callable[[int, int, KnowledgeBase, Profile], Row] | None = None
    """Make an example as `make_row` does, a training row in other words, for `data.format=varied`.
    """
    in_default_set: bool = True
    """`finops generate` without --stage makes this dataset."""
