"""Generated sentences: exact proportions of labels and registers, distinct texts, and numbers that
agree with the words.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from finops_cli.datasets.sentiment import examples
from finops_cli.datasets.sentiment.checks import REQUIREMENTS, check_sentences
from finops_cli.datasets.sentiment.examples import (
    Sentence,
    SentenceSplit,
    sentence,
    surely_distinct,
    text_split,
)
from finops_cli.datasets.sentiment.grammar import (
    LEAST_TEMPLATES,
    REGISTERS,
    Template,
    load_grammar,
)
from finops_cli.datasets.splits import Split
from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import KnowledgeError
from tests.support import sentence_numbers
from tests.support.program import ROOT

ROWS = 10_000
GRAMMAR = load_grammar()
FILE = ROOT / "training" / "sentiment-grammar.toml"
SPLITS: tuple[Split, Split] = ("train", "eval")


@cache
def make_sentences(seed: int, split: Split) -> list[Sentence]:
    return [sentence(index, seed, split, GRAMMAR) for index in range(ROWS)]


def rows(seed: int = 7, count: int = ROWS) -> list[tuple[Split, Sentence]]:
    return [(split, row) for split in SPLITS for row in make_sentences(seed, split)[:count]]


def change_grammar(folder: Path, old: str, new: str) -> Path:
    """A copy of the grammar with one thing changed in it."""
    text = FILE.read_text()
    assert old in text
    file = folder / "grammar.toml"
    file.write_text(text.replace(old, new, 1))
    return file


@pytest.mark.slow
def test_sentence_depends_on_seed_split_and_index_only() -> None:
    """A sentence is the same in any process and any order, and differs for another seed."""
    program = """if True:
        from finops_cli.datasets.sentiment.examples import sentence
        from finops_cli.datasets.sentiment.grammar import load_grammar
        for index in reversed(range(40)):
            for split in ("eval", "train"):
                print(sentence(index, 7, split, load_grammar()).text)"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    here = [
        make_sentences(7, split)[index].text
        for index in reversed(range(40))
        for split in reversed(SPLITS)
    ]
    assert output.splitlines() == here
    assert not {row.text for row in make_sentences(7, "train")[:40]} & {
        row.text for row in make_sentences(8, "train")[:40]
    }


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.slow
def test_sentence_labels_and_registers_are_even_at_any_count(split: Split) -> None:
    """After any number of sentences the counts of labels, and of registers, differ by at
    most one.
    """
    labels, registers = Counter(dict.fromkeys(LABELS, 0)), Counter(dict.fromkeys(REGISTERS, 0))
    for number, row in enumerate(make_sentences(7, split), start=1):
        labels[row.label] += 1
        registers[row.register] += 1  # type: ignore[index]
        assert max(labels.values()) - min(labels.values()) <= 1
        assert max(registers.values()) - min(registers.values()) <= 1
        if number % examples.BLOCK == 0:
            cells = {
                (r.register, r.label)
                for r in make_sentences(7, split)[number - examples.BLOCK : number]
            }
            assert len(cells) == examples.BLOCK


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 20260101])
def test_sentence_texts_are_distinct_in_both_splits(seed: int) -> None:
    """No text occurs twice in 10,000 sentences of both splits, and the text decides the split."""
    assert len({row.text for _, row in rows(seed)}) == len(SPLITS) * ROWS
    assert all(text_split(row.text) == split for split, row in rows(seed))


@pytest.mark.slow
def test_sentence_keys_repeat_only_after_all_were_used() -> None:
    """A template uses each of its keys once before it repeats one, so texts are distinct
    by design.
    """
    for template in list(GRAMMAR.templates.values())[::20]:
        assert (
            len({examples._key(template, visit, 7, "train") for visit in range(template.keys())})
            == template.keys()
        )
    assert all(surely_distinct(split, GRAMMAR) >= 100_000 for split in SPLITS)


@pytest.mark.slow
def test_held_out_templates_are_half_of_the_eval_split_only() -> None:
    """Calibration templates occur only in the eval split, where they are half of each label; test
    templates are in no file.
    """
    held_out, tested = templates_of("calibration"), templates_of("test")
    seen = set(GRAMMAR.templates) - held_out - tested
    assert {row.template for row in make_sentences(7, "train")} == seen
    assert {row.template for row in make_sentences(7, "eval")} == seen | held_out
    new = Counter(row.label for row in make_sentences(7, "eval") if row.template in held_out)
    assert all(abs(new[label] - ROWS / 6) <= examples.BLOCK for label in LABELS)


def templates_of(split: str) -> set[str]:
    return {id for id, template in GRAMMAR.templates.items() if template.split == split}


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_sentences_of_a_held_out_split_use_only_its_templates(split: SentenceSplit) -> None:
    """The calibration and the test split have all of their own templates and no others."""
    made = {sentence(index, 7, split, GRAMMAR).template for index in range(3_000)}
    assert made == templates_of(split)


def test_grammar_has_enough_templates_for_each_cell() -> None:
    """Each register and label has enough templates of each split, and no text occurs twice."""
    for cell in GRAMMAR.cells.values():
        assert all(len(getattr(cell, split)) >= least for split, least in LEAST_TEMPLATES.items())
    assert len({template.pieces for template in GRAMMAR.templates.values()}) == len(
        GRAMMAR.templates
    )


@pytest.mark.slow
def test_sentence_texts_are_well_formed_ascii() -> None:
    """A sentence is one line of ASCII with capital and full stop, without an open slot or a word
    like a CUSIP.
    """
    for _, row in rows():
        assert row.text.isascii()
        assert row.text.isprintable()
        assert not re.search(r"[{}]|  | [,.;:?]|\bpercent percent\b|\$ ", row.text), row
        assert re.match(r"[A-Z0-9]", row.text), row
        assert not re.search(r"[.?] [a-z]", row.text), row
        assert re.search(r"[.?]$|(Regards|Thanks|Best|wishes|regards|thanks), ", row.text), row
        assert not re.search(r"\b(?=\w*\d)[0-9A-Z]{9}\b", row.text), row
        assert 25 <= len(row.text) <= 300, row


def test_sentence_second_slot_differs_from_the_first() -> None:
    """A second segment or region in a sentence differs from the first one."""
    for twos in (
        r"will report ([a-z]+) and ([a-z]+) as",
        r"gains of .+ in (.+) and its losses in (.+) are",
    ):
        pairs = [found.groups() for _, row in rows() if (found := re.search(twos, row.text))]
        assert len(pairs) > 50
        assert [pair for pair in pairs if pair[0] == pair[1]] == []


def shows_two_values(template: Template) -> bool:
    parts = [piece.partition(".") for piece in template.pieces[1::2]]
    return any((figure, ".", "to") in parts for figure, _, part in parts if part == "from")


@pytest.mark.slow
def test_sentence_numbers_agree_with_the_words() -> None:
    """Direction, percentage and difference in a sentence agree with the two values that it
    mentions.
    """
    read = {row.template: sentence_numbers.find_errors(row.text) for _, row in rows()}
    shown = set(GRAMMAR.templates) - templates_of("test")
    two = {id for id in shown if shows_two_values(GRAMMAR.templates[id])}
    assert {id for id, faults in read.items() if faults is not None} == two
    assert [
        (row.text, faults)
        for _, row in rows()
        if (faults := sentence_numbers.find_errors(row.text))
    ] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("up = { low = 15, high = 380 }", "up = { low = -380, high = -15 }"),
        ("down = { low = -350, high = -20 }", "down = { low = 20, high = 350 }"),
        ("flat = { low = 0, high = 0 }", "flat = { low = 100, high = 200 }"),
        ('r = "usd_m up" }, text = "{metric} of', 'r = "usd_m down" }, text = "{metric} of'),
    ],
)
def test_sentence_check_finds_numbers_that_contradict(old: str, new: str, tmp_path: Path) -> None:
    """A grammar whose numbers contradict its words is found by the check of this module."""
    grammar = load_grammar(change_grammar(tmp_path, old, new))
    assert any(
        sentence_numbers.find_errors(sentence(index, 7, "train", grammar).text)
        for index in range(1_500)
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[labels]\n", "[labels]\nbullish = 'x'\n", r"bullish"),
        ("[moves]", "[moods]", r"unknown field `moods`"),
        (
            'id = "growth", key',
            'id = "growth", weight = 2, key',
            r"unknown field `weight` - at `\$\.cell\[0\]",
        ),
        (
            'r = "usd_m up"',
            'r = "usd_m sideways"',
            r"positive\.growth: figures\.r: 'usd_m sideways'",
        ),
        ("{r.pct}", "{r.percent}", r"positive\.growth: text: \{r\.percent\}"),
        ("in the {quarter}, from", "in the {season}, from", r"positive\.growth: text: \{season\}"),
        ("in the {quarter}, from", "in the {Quarter}, from", r"positive\.growth: text: a brace"),
        (
            'key = "person", figures = { r',
            'key = "quarter", figures = { r',
            r"positive\.growth: key: 4 keys",
        ),
        (
            'key = "person", figures = { r',
            'key = "company", figures = { r',
            r"positive\.growth: key: 'company' is not a slot",
        ),
        (
            'figures = { r = "usd_m up" }',
            'figures = { r = "usd_m up", s = "eps" }',
            r"figures\.s: not used",
        ),
        ('id = "loss-narrowed"', 'id = "growth"', r"positive\.growth: the id is used twice"),
        ('id = "beat-own-plan"', 'id = "beat-its-own-plan"', None),
        ("low = 400, high = 48000", "low = 48000, high = 400", r"measures\.usd_m"),
        ('"Nevada", "Texas"', '"Nevada", "Nevada"', r"words\.state: .*all different"),
        ("[registers]", "[registers", r"line"),
    ],
)
def test_invalid_grammar_is_refused_with_file_and_key(
    old: str, new: str, message: str | None, tmp_path: Path
) -> None:
    """An invalid grammar raises KnowledgeError with its file and key. A further seen template is
    accepted.
    """
    file = change_grammar(tmp_path, old, new)
    if message is None:
        assert load_grammar(file).digest != GRAMMAR.digest
        return
    with pytest.raises(KnowledgeError, match=rf"^{re.escape(str(file))}: .*{message}"):
        load_grammar(file)


def test_grammar_with_few_held_out_templates_is_refused(tmp_path: Path) -> None:
    """A cell without enough templates of each split is refused."""
    file = tmp_path / "grammar.toml"
    lines = FILE.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if 'split = "test"' not in line))
    with pytest.raises(KnowledgeError, match=r"cell earnings_call\.positive: .* 0 of split test"):
        load_grammar(file)


@pytest.mark.parametrize("count", [1, 5, 17, 100, ROWS])
def test_sentiment_report_of_generated_rows_has_no_violation(count: int) -> None:
    """The report finds no violation in generated sentences of any number and counts each
    row once.
    """
    report = check_sentences(rows(count=count), GRAMMAR)
    assert report.violations == []
    assert report.splits == {"train": count, "eval": count}
    for table in (report.labels, report.registers, report.templates):
        assert {split: sum(counts.values()) for split, counts in table.items()} == report.splits


HELD_OUT = next(iter(sorted(templates_of("calibration"))))
A_TRAIN_TEXT = next(
    f"Text {number}." for number in range(100) if text_split(f"Text {number}.") == "train"
)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_sentiment_report_finds_each_violated_requirement(requirement: str) -> None:
    """Each requirement is violated once on purpose, and the report finds it with an example."""
    good = rows(count=1_200)
    first = good[0][1]
    planted: dict[str, list[tuple[Split, Sentence]]] = {
        "text_once": [*good, ("train", first)],
        "text_in_one_split": [*good, ("eval", first)],
        "split_by_text": [*good, ("eval", replace(first, text=A_TRAIN_TEXT))],
        "slots_filled": [*good, ("train", replace(first, text="Revenue of {company} rose."))],
        "template_known": [
            *good,
            ("train", replace(first, label=next(word for word in LABELS if word != first.label))),
        ],
        "held_out_in_eval_only": [
            *good,
            next(("train", row) for _, row in good if row.template == HELD_OUT),
        ],
        "held_out_proportion": [
            (s, row)
            for s, row in good
            if s == "train" or row.template in templates_of("calibration")
        ],
        "label_proportion": [
            (s, row) for place, (s, row) in enumerate(good) if row.label != "neutral" or place % 7
        ],
        "register_proportion": [
            (s, row) for place, (s, row) in enumerate(good) if row.register != "filing" or place % 7
        ],
        "every_cell": [
            (s, row) for s, row in good if (row.register, row.label) != ("filing", "neutral")
        ],
    }
    found = {
        each.requirement: each for each in check_sentences(planted[requirement], GRAMMAR).violations
    }
    assert requirement in found
    assert found[requirement].example
