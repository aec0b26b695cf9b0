"""Read a user's labelled texts: rows `{"text", "label"}`, or a copy of financial_phrasebank."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.grammar import TemplateSplit
from finops_cli.datasets.sentiment.phrasebank import read_phrasebank
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.finding import Damage
from finops_cli.domain.sentiment import LABELS, Label
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.kb.rulebook import KnowledgeBase

_ACCEPTED = f'{{"text": "...", "label": "..."}} with one of the labels {", ".join(LABELS)}'


class _Row(msgspec.Struct):
    text: str
    label: Label


_DECODER = msgspec.json.Decoder(_Row)


def digest_split(text: str, kb: KnowledgeBase) -> TemplateSplit:
    """Return the split of a user's text, by its SHA-256 and the percentages of the kb."""
    rows = kb.sentiment.rows
    percent = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
    if percent < rows["test_pct"]:
        return "test"
    return "calibration" if percent < rows["test_pct"] + rows["calibration_pct"] else "train"


def read_labelled(path: Path) -> Iterator[Sentence]:
    """Yield the labelled texts of `path`.

    A file whose name ends with .jsonl or .json has rows; any other file is a copy of
    financial_phrasebank. Raises UsageError that names the line of a row that cannot be used, and
    for a file without any.
    """
    rows = (
        _read_rows(path) if path.suffix.lower() in (".jsonl", ".json") else _read_phrasebank(path)
    )
    has_rows = False
    for row in rows:
        has_rows = True
        yield row
    if not has_rows:
        raise UsageError(f"{path}: holds no labelled text", f"give lines of {_ACCEPTED}")


def _read_rows(path: Path) -> Iterator[Sentence]:
    try:
        with path.open("rb") as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                if line.strip():
                    yield _read_row(path, number, line)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})", f"give a file with lines of {_ACCEPTED}"
        ) from error


def _read_row(path: Path, number: int, line: bytes) -> Sentence:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: line {number}: {describe_decode_error(error)}; accepted: {_ACCEPTED}",
            "correct the line or remove it",
        ) from error
    return Sentence(row.text, row.label, "phrasebank", "")


def _read_phrasebank(path: Path) -> Iterator[Sentence]:
    for item in read_phrasebank(path):
        if isinstance(item, Sentence):
            yield item
        elif isinstance(item, Damage):
            # the values are not quoted: nobody has read them for personal data
            accepted = "; ".join(f"{each.path[1:]}: {each.accepted}" for each in item.problems)
            raise UsageError(
                f"{item.file}: line {item.line} cannot be used; accepted: {accepted}",
                "correct the line or remove it",
            )
