"""Load and check the grammar of financial sentences (training/sentiment-grammar.toml).

Unknown keys are an error.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from finops_cli.datasets.sentiment.slots import Amount, Filler, Measure, Move, Words
from finops_cli.domain.sentiment import LABELS, Label
from finops_cli.errors import KnowledgeError, UsageError
from finops_cli.files.settings_text import decode_settings, parse_toml, read_settings
from finops_cli.kb.load import bundled_dir

Register = Literal["earnings_call", "analyst_note", "filing", "counterparty_reply"]
REGISTERS: tuple[Register, ...] = get_args(Register)
TemplateSplit = Literal["train", "calibration", "test"]
LEAST_TEMPLATES: dict[TemplateSplit, int] = {"train": 9, "calibration": 2, "test": 2}
LEAST_KEYS = 1_000
LEAST_TEXTS_A_KEY: dict[TemplateSplit, int] = {"train": 100, "calibration": 100, "test": 5}
"""Least number of texts for each key.

A key is used for one text. The other slots must allow enough draws until the text falls into its
split. A text of the test split is in no file, so any draw will do.
"""
_SLOT = re.compile(r"\{([a-z_0-9]+(?:\.[a-z]+)?)\}")
_SECOND = re.compile(r"_[2-9]$")


class _Names(Struct, frozen=True, forbid_unknown_fields=True):
    parts: list[list[str]]


class _Line(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: str
    key: str
    text: str
    figures: dict[str, str] = {}
    split: TemplateSplit = "train"


class _Cell(Struct, frozen=True, forbid_unknown_fields=True):
    register: Register
    label: Label
    templates: list[_Line]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    labels: dict[Label, str]
    registers: dict[Register, str]
    names: dict[str, _Names]
    words: dict[str, list[str]]
    measures: dict[str, Measure]
    moves: dict[str, Move]
    cell: list[_Cell]


class Template(NamedTuple):
    """A sentence with slots."""

    id: str
    register: Register
    label: Label
    split: TemplateSplit
    pieces: tuple[str, ...]
    """Literal texts and slots, in turn."""
    fillers: tuple[Filler, ...]
    """The fillers of the slots. The first contains the key."""

    def keys(self) -> int:
        return self.fillers[0].keys()


class Cell(NamedTuple):
    """The templates of one register and label, by their split."""

    train: tuple[Template, ...]
    calibration: tuple[Template, ...]
    test: tuple[Template, ...]


class Grammar(Struct, frozen=True, kw_only=True):
    """A compiled grammar of sentences."""

    digest: str
    """The SHA-256 of the file."""
    labels: dict[Label, str]
    registers: dict[Register, str]
    templates: dict[str, Template]
    cells: dict[tuple[Register, Label], Cell]
    """Cells in the order of REGISTERS, and within a register of LABELS."""


@cache
def load_grammar(file: Path | None = None) -> Grammar:
    """Load a grammar from `file`, or the bundled one.

    Raises KnowledgeError that names file and key.
    """
    path = file or bundled_dir("training") / "sentiment-grammar.toml"
    try:
        text = read_settings(path)
        given = msgspec.convert(parse_toml(decode_settings(path, text)), _File)
    except UsageError as error:
        raise KnowledgeError(str(error), error.cure) from error
    except ValueError as error:  # msgspec.ValidationError is one, and tells the key
        raise KnowledgeError(f"{path}: {error}") from error
    try:
        return _compile(given, hashlib.sha256(text).hexdigest())
    except KnowledgeError as error:
        raise KnowledgeError(f"{path}: {error}", error.cure) from error


def _compile(given: _File, digest: str) -> Grammar:
    for name, have, want in (
        ("labels", given.labels, LABELS),
        ("registers", given.registers, REGISTERS),
    ):
        if set(have) != set(want):
            raise KnowledgeError(f"{name}: must be {', '.join(want)}")
    _check_ranges(given)
    lists = dict(_lists(given))
    templates: dict[str, Template] = {}
    for cell in given.cell:
        for line in cell.templates:
            template = _template(cell, line, given, lists)
            if template.id in templates:
                raise KnowledgeError(f"template {template.id}: the id is used twice in its cell")
            templates[template.id] = template
    cells = {place: _cell(place, templates) for place in itertools.product(REGISTERS, LABELS)}
    return Grammar(
        digest=digest,
        labels=given.labels,
        registers=given.registers,
        templates=templates,
        cells=cells,
    )


def _check_ranges(given: _File) -> None:
    for name, measure in given.measures.items():
        if (
            not 0 < measure.low < measure.high
            or measure.form.count("{}") != 1
            or measure.step < 1
            or measure.decimals < 0
        ):
            raise KnowledgeError(
                f"measures.{name}: 0 < low < high, step of at least 1, and one {{}} in form"
            )
    for name, move in given.moves.items():
        if (
            not -900 <= move.low <= move.high
            or move.low < 0 < move.high
            or (move.low == 0) != (move.high == 0)
        ):
            raise KnowledgeError(
                f"moves.{name}: low up to high, both of one sign or both 0, at least -900"
            )


def _lists(given: _File) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return the lists of names and words, by slot."""
    for name, names in given.names.items():
        yield (
            name,
            _distinct(
                f"names.{name}", (" ".join(parts) for parts in itertools.product(*names.parts))
            ),
        )
    for name, words in given.words.items():
        if name in given.names:
            raise KnowledgeError(f"words.{name}: the name is also in [names]")
        yield name, _distinct(f"words.{name}", iter(words))


def _distinct(name: str, values: Iterator[str]) -> tuple[str, ...]:
    found = tuple(values)
    if len(set(found)) < len(found) or len(found) < 2 or not all(found):
        raise KnowledgeError(f"{name}: expected at least two values, all different and not empty")
    return found


def _template(
    cell: _Cell, line: _Line, given: _File, lists: dict[str, tuple[str, ...]]
) -> Template:
    id = f"{cell.register}.{cell.label}.{line.id}"
    pieces = tuple(_SLOT.split(line.text))
    slots = tuple(dict.fromkeys(pieces[1::2]))
    if any("{" in piece or "}" in piece for piece in pieces):
        raise KnowledgeError(f"template {id}: text: a brace that does not belong to a {{slot}}")
    try:
        fillers = _fillers(
            slots, {name: _amount(name, text, given) for name, text in line.figures.items()}, lists
        )
        template = Template(
            id=id,
            register=cell.register,
            label=cell.label,
            split=line.split,
            pieces=pieces,
            fillers=_key_first(line.key, slots, fillers),
        )
    except KnowledgeError as error:
        raise KnowledgeError(f"template {id}: {error}", error.cure) from error
    texts = template.fillers[0].size_beside_key()
    for filler in template.fillers[1:]:
        texts *= filler.size()
    if template.keys() < LEAST_KEYS or texts < LEAST_TEXTS_A_KEY[line.split]:
        least = f"at least {LEAST_KEYS:,} and {LEAST_TEXTS_A_KEY[line.split]}"
        raise KnowledgeError(
            f"template {id}: key: {template.keys():,} keys with {texts:,} texts each; {least} are"
            " needed"
        )
    return template


def _amount(name: str, text: str, given: _File) -> Amount:
    measure, _, move = text.partition(" ")
    if measure not in given.measures or (move and move not in given.moves):
        raise KnowledgeError(
            f"figures.{name}: {text!r} is not a measure, or a measure and a move, of this file"
        )
    return Amount(name, given.measures[measure], given.moves[move] if move else None)


def _fillers(
    slots: tuple[str, ...], figures: dict[str, Amount], lists: dict[str, tuple[str, ...]]
) -> dict[str, Filler]:
    """Return the fillers by the names that `key` may use."""
    drawn: dict[str, list[str]] = {}
    for slot in slots:
        name = slot.partition(".")[0]
        if name in figures:
            if slot not in figures[name].slots():
                raise KnowledgeError(
                    f"text: {{{slot}}} is not one of {', '.join(figures[name].slots())}"
                )
            continue
        name = _SECOND.sub("", slot)
        if name not in lists:
            raise KnowledgeError(f"text: {{{slot}}} is not in names, words or figures")
        drawn.setdefault(name, []).append(slot)
    unused = [name for name in figures if name not in {slot.partition(".")[0] for slot in slots}]
    if unused:
        raise KnowledgeError(f"figures.{unused[0]}: not used in the text")
    return {
        **figures,
        **{name: Words(tuple(sorted(found)), lists[name]) for name, found in drawn.items()},
    }


def _key_first(key: str, slots: tuple[str, ...], fillers: dict[str, Filler]) -> tuple[Filler, ...]:
    """Put the filler with the key first.

    The text must show the key: its slot, or the first value of its amount.
    """
    if key not in fillers or not {key, f"{key}.from"} & set(slots):
        raise KnowledgeError(f"key: {key!r} is not a slot of the text, or its .from is not shown")
    return (fillers[key], *(filler for name, filler in fillers.items() if name != key))


def _cell(place: tuple[Register, Label], templates: dict[str, Template]) -> Cell:
    found = [
        template for template in templates.values() if (template.register, template.label) == place
    ]
    splits = {
        split: tuple(template for template in found if template.split == split)
        for split in LEAST_TEMPLATES
    }
    if any(len(splits[split]) < least for split, least in LEAST_TEMPLATES.items()):
        have = ", ".join(f"{len(splits[split])} of split {split}" for split in LEAST_TEMPLATES)
        least = ", ".join(str(count) for count in LEAST_TEMPLATES.values())
        raise KnowledgeError(
            f"cell {'.'.join(place)}: {have} templates; at least {least} are needed"
        )
    return Cell(**splits)
