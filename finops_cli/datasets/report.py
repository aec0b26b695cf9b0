"""Recounts a data set from its files: every row judged again, every promise proved again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Struct

from finops_cli.datasets.coverage import Counts, features
from finops_cli.datasets.requirements import Requirement, requirements
from finops_cli.datasets.rows import Row, Stage, faults_of, sentence_of
from finops_cli.datasets.sentiment.checks import PROMISES, check_sentences
from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.splits import Split
from finops_cli.datasets.triage_examples import Profile
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.files.seen_ids import SeenIds
from finops_cli.kb.rulebook import KnowledgeBase


class Report(Struct, frozen=True):
    """What the files of one stage hold. `faults` names the first of them; `bad_rows` counts all."""

    stage: Stage
    rows: int
    bad_rows: int
    faults: list[str]
    counts: dict[str, dict[str, int]]
    requirements: list[Requirement]

    @property
    def kept(self) -> bool:
        return not self.bad_rows and all(promise.kept is not False for promise in self.requirements)


_FAULTS_TOLD = 20


def report(files: Sequence[Path], profile: Profile, kb: KnowledgeBase) -> list[Report]:
    """One report a stage found in `files` (JSONL rows, or folders of them).

    Raises UsageError when there is nothing to read.
    """
    counts: dict[Stage, Counts] = {}
    rows: Counter[Stage] = Counter()
    bad: Counter[Stage] = Counter()
    faults: dict[Stage, list[str]] = {}
    with SeenIds() as seen:
        for number, (place, row) in enumerate(_rows(files), start=1):
            stage = row.stage if isinstance(row, Row) else _stage_of(place)
            fault = _fault(place, row, number, seen, kb)
            rows[stage] += 1
            if isinstance(row, Row) and fault is None:
                counts.setdefault(stage, Counter()).update(features(row, kb))
                continue
            bad[stage] += 1
            faults.setdefault(stage, []).append(f"{place}: {fault}")
            del faults[stage][_FAULTS_TOLD:]
    if not rows:
        raise UsageError(
            f"{', '.join(map(str, files))}: no rows here",
            "give .jsonl files of `finops generate`, or their folder",
        )
    return [
        Report(
            stage,
            rows[stage],
            bad[stage],
            faults.get(stage, []),
            nested(counts.get(stage, Counter())),
            requirements(stage, counts.get(stage, Counter()), rows[stage], profile, kb)
            + (sentence_promises(files) if stage == "sentiment" else []),
        )
        for stage in rows
    ]


def _fault(place: str, row: Row | str, number: int, seen: SeenIds, kb: KnowledgeBase) -> str | None:
    """What is wrong with a row: with itself, with the file that it stands in, or with one that
    stood before it.
    """
    if isinstance(row, str):
        return row
    found = faults_of(row, kb)
    if found:
        return f"{found[0].rule}: {found[0].message}"
    split = next((split for split in get_args(Split) if f"-{split}." in place), row.split)
    if split != row.split:
        return f"data.row: {row.id} belongs to {row.split} and stands in a file of {split}"
    content = hashlib.sha256(row.record.replace(row.id, "", 1).encode()).hexdigest()
    if seen.register(
        [(f"id {row.stage} {row.id}", number), (f"content {row.stage} {content}", number)]
    ):
        return f"data.row: {row.id} stands here a second time"
    return None


def sentence_promises(files: Sequence[Path]) -> list[Requirement]:
    """The promises of labelled sentences, from all sentiment rows of `files` together."""
    broken: dict[str, str] = {}
    for fault in check_sentences(_sentences(files), load_grammar()).broken:
        broken.setdefault(fault.promise, f"{fault.rows:,} rows of {fault.split}: {fault.example}")
    return [
        Requirement(text, name not in broken, broken.get(name, ""))
        for name, text in PROMISES.items()
    ]


def _sentences(files: Sequence[Path]) -> Iterator[tuple[Split, Sentence]]:
    """Every labelled sentence; a row without one is among the bad rows already."""
    for _, row in _rows(files):
        if isinstance(row, Row) and row.stage == "sentiment":
            try:
                said = sentence_of(row)
            except (ValueError, RecursionError):
                continue
            yield row.split, said


def _rows(files: Iterable[Path]) -> Iterator[tuple[str, Row | str]]:
    """Each row with its place, or what is wrong with its line."""
    decoder = msgspec.json.Decoder(Row)
    for file in _files(files):
        with file.open("rb") as source:
            for number, (line, _) in enumerate(lines_of(source), start=1):
                try:
                    yield f"{file.name}:{number}", decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    yield f"{file.name}:{number}", f"is no row: {error}"


def _files(given: Iterable[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"{path}: no such file or folder")


def _stage_of(place: str) -> Stage:
    """The stage that a file's name says; triage where it says none."""
    for stage in ("resolver", "sentiment"):
        if place.startswith(stage):
            return stage
    return "triage"


def nested(counts: Counts) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (dimension, value), count in sorted(counts.items()):
        nested.setdefault(dimension, {})[value] = count
    return nested
