"""Copies of financial_phrasebank in a ZIP file and in Parquet."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.phrasebank import read_phrasebank
from finops_cli.errors import UsageError

ROWS = [("Profit rose.", "positive"), ("Nothing changed.", "neutral"), ("Sales fell.", "negative")]
LINES = "".join(f"{text}@{label}\r\n" for text, label in ROWS).encode("iso-8859-1")


def sentences(path: Path) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in read_phrasebank(path) if isinstance(row, Sentence)]


def pack(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"FinancialPhraseBank-v1.0/{name}.txt", content)
    return path


def test_zip_of_the_authors_is_read_by_its_largest_file(tmp_path: Path) -> None:
    """Of the files of the authors, the one with every sentence is read."""
    part = b"Profit rose.@positive\n"
    bank = pack(
        tmp_path / "bank.zip",
        README=b"about", License=b"terms", Sentences_50Agree=LINES, Sentences_AllAgree=part,
    )  # fmt: skip
    assert sentences(bank) == ROWS


@pytest.mark.parametrize("names", [(), ("one", "two")])
def test_zip_without_a_clear_file_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    """An archive with no file of sentences, or with two, is refused."""
    bank = pack(tmp_path / "bank.zip", **dict.fromkeys(names, LINES))
    with pytest.raises(UsageError, match="expected one file of sentences"):
        sentences(bank)


def test_damaged_zip_is_refused(tmp_path: Path) -> None:
    """A file that only begins like an archive is refused by its name."""
    bank = tmp_path / "bank.zip"
    bank.write_bytes(b"PK\x03\x04" + b"x" * 60)
    with pytest.raises(UsageError, match=r"bank\.zip: cannot be unpacked"):
        sentences(bank)


@pytest.mark.parametrize("labels", [["positive", "neutral", "negative"], [2, 1, 0]])
def test_parquet_with_words_or_numbers_is_read(labels: list[object], tmp_path: Path) -> None:
    """The labels of Parquet are words, or the numbers of the copy on Hugging Face."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"sentence": [text for text, _ in ROWS], "label": labels})
    parquet.write_table(table, tmp_path / "bank.parquet")
    assert sentences(tmp_path / "bank.parquet") == ROWS


def test_parquet_without_the_columns_is_refused(tmp_path: Path) -> None:
    """A Parquet file without a label is refused with its columns."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"sentence": ["x"]}), tmp_path / "bank.parquet")
    with pytest.raises(UsageError, match="no column label or sentiment; its columns are sentence"):
        sentences(tmp_path / "bank.parquet")
