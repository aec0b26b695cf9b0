"""Count labelled sentences and list the requirements that they do not meet.

Rows are checked one by one, whatever their source. Memory use does not grow with the number of
rows.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from finops_cli.datasets.sentiment.examples import BLOCK, Sentence, text_split
from finops_cli.datasets.sentiment.grammar import REGISTERS, Grammar, TemplateSplit
from finops_cli.datasets.splits import Split
from finops_cli.domain.sentiment import LABELS

SentenceRequirement = Literal[
    "text_once",
    "text_in_one_split",
    "split_by_text",
    "slots_filled",
    "template_known",
    "held_out_in_eval_only",
    "held_out_proportion",
    "label_proportion",
    "register_proportion",
    "every_cell",
]
_SHOWN = 80
REQUIREMENTS: dict[SentenceRequirement, str] = {
    "text_once": "No text twice in a split.",
    "text_in_one_split": "No text in both splits.",
    "split_by_text": "A text is in the split that its SHA-256 selects.",
    "slots_filled": "No text is empty or contains a brace, a tab or a line break.",
    "template_known": (
        "A row's template is one of the grammar, and its register and label are the template's."
    ),
    "held_out_in_eval_only": "No calibration template in the train split, no test one in a file.",
    "held_out_proportion": "Half of the eval split is of calibration templates, within one point.",
    "label_proportion": "Each label has a third of a split, within one point.",
    "register_proportion": "Each register has a quarter of a split, within one point.",
    "every_cell": "A split of a dozen rows or more has every register with every label.",
}
"""The requirements that a user's own sentences (register `phrasebank`) must meet."""


class Violation(Struct, frozen=True):
    """A requirement that a split does not meet."""

    requirement: SentenceRequirement
    split: Split
    rows: int
    """Number of rows that break the requirement, or by which a proportion is off."""
    example: str
    """The first such row, or the proportion."""


class SentimentReport(Struct, frozen=True, kw_only=True):
    """Counts of rows by split, and in each split by label, register and template; and all
    violations.
    """

    splits: dict[Split, int]
    labels: dict[Split, dict[str, int]]
    registers: dict[Split, dict[str, int]]
    templates: dict[Split, dict[str, int]]
    violations: list[Violation]


def check_sentences(rows: Iterable[tuple[Split, Sentence]], grammar: Grammar) -> SentimentReport:
    """Check the rows and return the report. Rows are counted from 1."""
    census = _Census(grammar)
    for number, (split, row) in enumerate(rows, start=1):
        census.take(number, split, row)
    return census.report()


_BIT: dict[Split, int] = {"train": 1, "eval": 2}
_Count = Counter[tuple[Split, str, str, str]]
"""Rows by split, label, register and template."""


class _Census:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._counts: _Count = Counter()
        self._texts: dict[bytes, int] = {}
        self._violations: dict[tuple[SentenceRequirement, Split], Violation] = {}

    def take(self, number: int, split: Split, row: Sentence) -> None:
        self._counts[split, row.label, row.register, row.template] += 1
        faults = [
            *self._text_faults(split, row.text),
            *(_template_faults(split, row, self._grammar) if generated(row) else ()),
        ]
        for requirement in faults:
            seen = self._violations.get((requirement, split))
            example = (
                seen.example
                if seen
                else f"row {number}, {row.template or row.register}: {row.text[:_SHOWN]}"
            )
            self._violations[requirement, split] = Violation(
                requirement, split, seen.rows + 1 if seen else 1, example
            )

    def _text_faults(self, split: Split, text: str) -> Iterator[SentenceRequirement]:
        digest = hashlib.sha256(text.encode()).digest()[:16]
        seen = self._texts.get(digest, 0)
        self._texts[digest] = seen | _BIT[split]
        if seen & _BIT[split]:
            yield "text_once"
        if seen & ~_BIT[split]:
            yield "text_in_one_split"
        if text_split(text) != split:
            yield "split_by_text"
        if not text.strip() or any(character in text for character in "{}\t\r\n"):
            yield "slots_filled"

    def report(self) -> SentimentReport:
        splits: dict[Split, int] = dict.fromkeys(_BIT, 0)
        labels, registers, templates = (
            {split: dict[str, int]() for split in _BIT} for _ in range(3)
        )
        for (split, label, register, template), count in sorted(self._counts.items()):
            splits[split] += count
            for table, value in ((labels, label), (registers, register), (templates, template)):
                table[split][value] = table[split].get(value, 0) + count
        shares = [
            broken
            for split in _BIT
            for broken in _proportion_faults(split, self._counts, self._grammar)
        ]
        return SentimentReport(
            splits=splits,
            labels=labels,
            registers=registers,
            templates=templates,
            violations=[*self._violations.values(), *shares],
        )


def generated(row: Sentence) -> bool:
    return row.register != "phrasebank"


_SPLITS_OF: dict[TemplateSplit, tuple[Split, ...]] = {
    "train": ("train", "eval"),
    "calibration": ("eval",),
    "test": (),
}
"""The files that may hold sentences of a template, by the split of the template."""


def _template_faults(
    split: Split, row: Sentence, grammar: Grammar
) -> Iterator[SentenceRequirement]:
    template = grammar.templates.get(row.template)
    if template is None or (template.register, template.label) != (row.register, row.label):
        yield "template_known"
    elif split not in _SPLITS_OF[template.split]:
        yield "held_out_in_eval_only"


def _proportion_faults(split: Split, counts: _Count, grammar: Grammar) -> Iterator[Violation]:
    """Test the proportions of the generated rows of a split.

    A proportion may be off by one percentage point, or by what an incomplete dozen allows.
    """
    mine: _Count = Counter(
        {key: count for key, count in counts.items() if key[0] == split and key[2] != "phrasebank"}
    )
    total = mine.total()
    by_label, by_register, by_cell = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    held_out = 0
    for (_, label, register, template), count in mine.items():
        by_label[label] += count
        by_register[register] += count
        by_cell[register, label] += count
        held_out += (
            count
            if template in grammar.templates and grammar.templates[template].split != "train"
            else 0
        )
    yield from _off(
        "label_proportion", split, {name: by_label[name] for name in LABELS}, total, len(LABELS), 1
    )
    yield from _off(
        "register_proportion",
        split,
        {name: by_register[name] for name in REGISTERS},
        total,
        len(REGISTERS),
        1,
    )
    if split == "eval":
        yield from _off(
            "held_out_proportion", split, {"calibration templates": held_out}, total, 2, BLOCK // 4
        )
    if total >= BLOCK:
        missing = [cell for cell in itertools.product(REGISTERS, LABELS) if not by_cell[cell]]
        yield from (
            Violation("every_cell", split, 0, f"no row is {' '.join(cell)}") for cell in missing
        )


def _off(
    requirement: SentenceRequirement,
    split: Split,
    found: dict[str, int],
    total: int,
    parts: int,
    rows: int,
) -> Iterator[Violation]:
    """Yield the parts that differ from `total` / `parts` by more than one point and by more than
    `rows` rows.
    """
    for name, count in found.items():
        off = abs(count * parts - total)  # in rows times parts
        if off * 100 > total * parts and off > rows * parts:
            yield Violation(
                requirement, split, off // parts, f"{name}: {count:,} of {total:,} rows"
            )
