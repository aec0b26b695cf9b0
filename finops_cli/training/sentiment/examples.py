"""Labelled texts for a classifier, in three splits: train, calibration and test.

Generated sentences are split by their template. The texts of a user's file are split by their
digest, so the same text is always in the same split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from finops_cli.datasets.sentiment.examples import Sentence, sentence
from finops_cli.datasets.sentiment.grammar import TemplateSplit, load_grammar
from finops_cli.datasets.sentiment.labelled_files import digest_split, read_labelled
from finops_cli.files.digests import sha256_of_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.redaction import RequireGuard, redaction_policy


class LabelledSource(NamedTuple):
    """Labelled texts, by split, and their origin."""

    rows: dict[TemplateSplit, list[Sentence]]
    name: str
    sha256: str
    """Of the grammar, or of the user's file."""


def generated_source(kb: KnowledgeBase) -> LabelledSource:
    """Make the sentences of the three splits (kb: `sentiment.rows`)."""
    grammar, seed = load_grammar(), kb.sentiment.baseline["seed"]
    rows: dict[TemplateSplit, list[Sentence]] = {
        split: [sentence(index, seed, split, grammar) for index in range(count)]
        for split, count in split_sizes(kb)
    }
    return LabelledSource(rows, f"the grammar of finops, seed {seed}", grammar.digest)


def split_sizes(kb: KnowledgeBase) -> Iterator[tuple[TemplateSplit, int]]:
    """Yield the number of generated sentences of each split."""
    sizes = kb.sentiment.rows
    yield "train", sizes["train"]
    yield "calibration", sizes["calibration"]
    yield "test", sizes["test"]


def file_source(path: Path, kb: KnowledgeBase) -> LabelledSource:
    """Read a user's labelled texts, with the personal data masked.

    Raises UsageError for a file without any, MissingPiece where the guard is not installed.
    """
    guard = redaction_policy("require", asks_models=False, kb=kb)
    if guard is None or isinstance(guard, RequireGuard):
        raise RequireGuard(asks_models=False).refuse(str(path))
    rows: dict[TemplateSplit, list[Sentence]] = {"train": [], "calibration": [], "test": []}
    for row in read_labelled(path):
        masked = replace(row, text=guard.text(row.text)[0])
        rows[digest_split(masked.text, kb)].append(masked)
    return LabelledSource(rows, path.name, sha256_of_file(path)[0])
