"""A user's financial_phrasebank: both file formats are read, and damage affects only its
own line.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.datasets.sentiment.checks import check_sentences
from finops_cli.datasets.sentiment.examples import Sentence, text_split
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.sentiment.phrasebank import Item, PhrasebankRead, read_phrasebank
from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from tests.support.cures import cured_by

PLAIN = [
    ("Sales at the Lahti mill rose to EUR 13.1 mn .", "positive"),
    ("The company is based in Espoo .", "neutral"),
    ("Pre-tax loss widened in the quarter .", "negative"),
]


def read(path: Path, content: bytes) -> tuple[list[Item], PhrasebankRead]:
    path.write_bytes(content)
    *items, end = read_phrasebank(path)
    assert isinstance(end, PhrasebankRead)
    assert end.rows == end.sentences + end.damaged + end.duplicates
    return items, end


def text_and_label(items: list[Item]) -> list[tuple[str, str]]:
    assert all(isinstance(item, Sentence) for item in items), items
    return [(item.text, item.label) for item in items if isinstance(item, Sentence)]


def test_phrasebank_text_file_is_read(tmp_path: Path) -> None:
    """A text file has `sentence@label` lines, with the label after the last @, any line ends and
    blank lines.
    """
    content = (
        b"\r\n\r\n".join(f"{text}@{label}".encode() for text, label in PLAIN)
        + b"\nMail to ir@example.test for it .@neutral"
    )
    items, end = read(tmp_path / "Sentences_50Agree.txt", content)
    assert text_and_label(items) == [*PLAIN, ("Mail to ir@example.test for it .", "neutral")]
    assert end == PhrasebankRead(
        file=str(tmp_path / "Sentences_50Agree.txt"), rows=4, sentences=4, damaged=0, duplicates=0
    )
    assert {item.register for item in items if isinstance(item, Sentence)} == {"phrasebank"}


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("form", ["bank.txt", "bank.csv"])
def test_phrasebank_encodings_are_recognised(form: str, encoding: str, tmp_path: Path) -> None:
    """ISO 8859-1 and UTF-8, with or without a byte order mark, are read."""
    text = "Jyväskylä mill to add 25 % capacity in Åland ."
    line = f"{text}@positive\n" if form == "bank.txt" else f'positive,"{text}"\n'
    items, _ = read(tmp_path / form, line.encode(encoding))
    assert text_and_label(items) == [(text, "positive")]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("", '{label},"{text}"'),
        ("label,sentence\n", '{label},"{text}"'),
        ("Sentence,Sentiment\n", '"{text}",{label}'),
        (",sentiment,text\n", '7,{label},"{text}"'),
    ],
)
def test_phrasebank_csv_columns_may_be_in_any_order(header: str, row: str, tmp_path: Path) -> None:
    """A CSV file may have a header, which may name the columns in any order and other columns
    beside them.
    """
    lines = [row.format(text=text, label=label) for text, label in PLAIN]
    items, end = read(tmp_path / "all-data.csv", (header + "\n".join(lines)).encode())
    assert text_and_label(items) == PLAIN
    assert end.rows == len(PLAIN)


def test_phrasebank_csv_sentence_may_contain_quotes_and_at(tmp_path: Path) -> None:
    """A sentence of a CSV file may contain commas, quotes and @."""
    items, _ = read(
        tmp_path / "all-data.csv", b'neutral,"Of ""new"" shares, 5 were issued @neutral"\n'
    )
    assert text_and_label(items) == [('Of "new" shares, 5 were issued @neutral', "neutral")]


@pytest.mark.parametrize(
    ("form", "bad", "rule", "path"),
    [
        ("bank.txt", b"no label on this line", "schema.format", "/row"),
        ("bank.txt", b"A sentence .@bullish", "schema.enum", "/label"),
        ("bank.txt", b"A sentence .@", "schema.enum", "/label"),
        ("bank.txt", b"@neutral", "schema.format", "/sentence"),
        ("bank.txt", b"A bell \x07 rings .@neutral", "schema.format", "/sentence"),
        ("bank.txt", b"The company is based in Espoo .@positive", "input.duplicate", "/label"),
        ("bank.csv", b"2,A sentence .", "schema.enum", "/label"),
        ("bank.csv", b"neutral,a,b", "schema.format", "/row"),
        ("bank.csv", b'neutral,""', "schema.format", "/sentence"),
    ],
)
def test_phrasebank_damaged_line_is_reported_with_its_reason(
    form: str, bad: bytes, rule: str, path: str, tmp_path: Path
) -> None:
    """A damaged line is reported with file, line and reason, and the other lines are kept."""
    good = [f"{text}@{label}" if form == "bank.txt" else f"{label},{text}" for text, label in PLAIN]
    items, end = read(
        tmp_path / form, "\n".join(good[:2]).encode() + b"\n" + bad + b"\n" + good[2].encode()
    )
    [damage] = [item for item in items if isinstance(item, Damage)]
    assert (damage.file, damage.line) == (str(tmp_path / form), 3)
    assert [(problem.rule, problem.path) for problem in damage.problems] == [(rule, path)]
    assert text_and_label([item for item in items if item is not damage]) == PLAIN
    assert (end.sentences, end.damaged, end.duplicates) == (3, 1, 0)


def test_phrasebank_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    """A sentence in another case or spacing is a duplicate. It is dropped and counted."""
    again = "The  Company is based in  ESPOO ."
    items, end = read(
        tmp_path / "bank.txt",
        "".join(f"{t}@{s}\n" for t, s in [*PLAIN, PLAIN[0], (again, "neutral")]).encode(),
    )
    assert text_and_label(items) == PLAIN
    assert (end.rows, end.sentences, end.duplicates) == (5, 3, 2)


def test_phrasebank_split_is_80_to_20_by_text(tmp_path: Path) -> None:
    """About one sentence in five is in the evaluation split, which depends only on its text."""
    lines = [f"Order number {number} was booked .@neutral" for number in range(2_000)]
    forward, _ = read(tmp_path / "a.txt", "\n".join(lines).encode())
    backward, _ = read(tmp_path / "b.txt", "\n".join(reversed(lines)).encode())
    splits = {text: text_split(text) for text, _ in text_and_label(forward)}
    assert splits == {text: text_split(text) for text, _ in text_and_label(backward)}
    assert 340 < sum(split == "eval" for split in splits.values()) < 460
    rows = [(splits[item.text], item) for item in forward if isinstance(item, Sentence)]
    report = check_sentences(rows, load_grammar())
    assert report.violations == []
    assert report.splits["train"] + report.splits["eval"] == 2_000


def test_phrasebank_missing_file_is_refused_with_a_fix(tmp_path: Path) -> None:
    """A missing file raises UsageError with its name and a fix."""
    with pytest.raises(
        UsageError,
        match=r"missing\.txt: cannot be read",
        check=cured_by("give financial_"),
    ):
        next(read_phrasebank(tmp_path / "missing.txt"))
