"""The type of a row of the table `datasets.stages.STAGES`: everything that one model stage needs
from its first example to its grade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.rows import Row
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import Task
from finops_cli.verify.codecs import Codec

Features = Iterable[tuple[str, str]]
"""(dimension, value) pairs that the dataset report counts."""


class TaskAnswers(NamedTuple):
    """Answers that are JSON objects, as a backend asks for them."""

    task: Callable[[Any, KnowledgeBase, str], Task[Any]]
    """From the record, the knowledge base and the name of a Modelfile: prompt, codec, check and
    repair.
    """
    decision: Callable[[Any], object]
    """The part of an answer that decides; two answers with equal parts decide the same."""


class LabelAnswers(NamedTuple):
    """Answers of one word."""

    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One model stage. Functions at module level only: worker processes receive the row."""

    name: StageName
    record_codec: Codec[Any]
    """Reads `Row.record`."""
    answers: TaskAnswers | LabelAnswers
    decision_field: str
    """The name of the decision, for reports: "same tier"."""
    make_row: Callable[[int, int, KnowledgeBase, Profile], Row]
    """Example N of a set, from N and the seed; it belongs to the split that N is meant for."""
    verify_row: Callable[[Row, KnowledgeBase], list[Finding]]
    """Everything that is wrong with a row, from its texts alone. May raise ValueError,
    ArithmeticError or RecursionError for texts that are not JSON.
    """
    features: Callable[[Row, KnowledgeBase], Features]
    """The pairs that a verified row adds to the report, without its split."""
    default_rows: Callable[[KnowledgeBase], int]
    eval_every: Callable[[KnowledgeBase], int]
    """One example of so many belongs to the eval split."""
    requirements: Callable[
        [Mapping[str, Counter[str]], int, Profile, KnowledgeBase], Iterable[Requirement]
    ]
    """The requirements that counts by dimension can prove, beside the one of the split."""
    requirements_of_rows: Callable[[Iterator[Row]], list[Requirement]] | None = None
    """Requirements that need the rows themselves."""
    max_distinct_rows: Callable[[], int] | None = None
    """The number of training rows up to which no text comes twice, where there is one."""
    import_rows: Callable[[Path, Callable[[str], None]], Iterator[tuple[Row, Features]]] | None = (
        None
    )
    """Rows from a file of the user's own (`--phrasebank`)."""
    in_default_set: bool = True
    """`finops generate` without --stage makes its set."""
