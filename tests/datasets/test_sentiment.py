"""Generated sentences: labels and registers in exact shares, texts distinct, figures that agree
with the words around them.
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
from finops_cli.datasets.sentiment.examples import Sentence, sentence, surely_distinct, text_split
from finops_cli.datasets.sentiment.grammar import LABELS, REGISTERS, Template, load_grammar
from finops_cli.datasets.splits import Split
from finops_cli.errors import KnowledgeError
from tests.support import sentence_numbers
from tests.support.program import ROOT

ROWS = 10_000
GRAMMAR = load_grammar()
FILE = ROOT / "training" / "sentiment-grammar.toml"
SPLITS: tuple[Split, Split] = ("train", "eval")


@cache
def made(seed: int, split: Split) -> list[Sentence]:
    return [sentence(index, seed, split, GRAMMAR) for index in range(ROWS)]


def rows(seed: int = 7, count: int = ROWS) -> list[tuple[Split, Sentence]]:
    return [(split, row) for split in SPLITS for row in made(seed, split)[:count]]


def changed(folder: Path, old: str, new: str) -> Path:
    """A copy of the grammar with one thing changed in it."""
    text = FILE.read_text()
    assert old in text
    file = folder / "grammar.toml"
    file.write_text(text.replace(old, new, 1))
    return file


def test_a_sentence_depends_on_seed_split_and_index_alone() -> None:
    """Any order, any process: the same texts."""
    program = """if True:
        from finops_cli.datasets.sentiment.examples import sentence
        from finops_cli.datasets.sentiment.grammar import load_grammar
        for index in reversed(range(40)):
            for split in ("eval", "train"):
                print(sentence(index, 7, split, load_grammar()).text)"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    here = [
        made(7, split)[index].text for index in reversed(range(40)) for split in reversed(SPLITS)
    ]
    assert told.splitlines() == here
    assert not {row.text for row in made(7, "train")[:40]} & {
        row.text for row in made(8, "train")[:40]
    }


@pytest.mark.parametrize("split", SPLITS)
def test_shares_are_exact_at_every_length(split: Split) -> None:
    """After any number of sentences no label is more than one ahead of another, and no register
    either.
    """
    labels, registers = Counter(dict.fromkeys(LABELS, 0)), Counter(dict.fromkeys(REGISTERS, 0))
    for number, row in enumerate(made(7, split), start=1):
        labels[row.label] += 1
        registers[row.register] += 1  # type: ignore[index]
        assert max(labels.values()) - min(labels.values()) <= 1
        assert max(registers.values()) - min(registers.values()) <= 1
        if number % examples.BLOCK == 0:
            cells = {
                (r.register, r.label) for r in made(7, split)[number - examples.BLOCK : number]
            }
            assert len(cells) == examples.BLOCK


@pytest.mark.parametrize("seed", [7, 20260101])
def test_no_text_comes_twice(seed: int) -> None:
    """Not within 10,000 of a split, and not in both splits, whose texts tell where they belong."""
    assert len({row.text for _, row in rows(seed)}) == len(SPLITS) * ROWS
    assert all(text_split(row.text) == split for split, row in rows(seed))


def test_keys_come_round_once() -> None:
    """Distinct texts do not rest on luck: a walk meets every key of a template before any comes
    again.
    """
    for template in list(GRAMMAR.templates.values())[::20]:
        assert (
            len({examples._key(template, visit, 7, "train") for visit in range(template.keys())})
            == template.keys()
        )
    assert all(surely_distinct(split, GRAMMAR) >= 100_000 for split in SPLITS)


def test_held_out_templates_are_half_of_the_eval_split_and_in_no_other() -> None:
    """Each template has its turn; both halves of the eval split hold every label equally."""
    held_out = {id for id, template in GRAMMAR.templates.items() if template.held_out}
    assert {row.template for row in made(7, "train")} == set(GRAMMAR.templates) - held_out
    assert {row.template for row in made(7, "eval")} == set(GRAMMAR.templates)
    new = Counter(row.label for row in made(7, "eval") if row.template in held_out)
    assert all(abs(new[label] - ROWS / 6) <= examples.BLOCK for label in LABELS)


def test_every_cell_has_its_templates() -> None:
    """At least a dozen for each register and label, three or more of them held out; no text in two
    places.
    """
    assert [len(cell.seen) >= 9 and len(cell.held_out) >= 3 for cell in GRAMMAR.cells.values()] == [
        True
    ] * examples.BLOCK
    assert len({template.pieces for template in GRAMMAR.templates.values()}) == len(
        GRAMMAR.templates
    )


def test_texts_are_sane() -> None:
    """One line of plain ASCII; sentences begin with a capital and end; no slot is left, nothing
    looks like a CUSIP.
    """
    for _, row in rows():
        assert row.text.isascii()
        assert row.text.isprintable()
        assert not re.search(r"[{}]|  | [,.;:?]|\bpercent percent\b|\$ ", row.text), row
        assert re.match(r"[A-Z]", row.text), row
        assert not re.search(r"[.?] [a-z]", row.text), row
        assert re.search(r"[.?]$|(Regards|Thanks|Best|wishes|regards|thanks), ", row.text), row
        assert not re.search(r"\b(?=\w*\d)[0-9A-Z]{9}\b", row.text), row
        assert 40 <= len(row.text) <= 300, row


def test_second_slots_are_filled_with_something_else() -> None:
    """No segment is merged with itself, and no region's losses are its own gains."""
    for twos in (
        r"will report ([a-z]+) and ([a-z]+) as",
        r"gains of .+ in (.+) and its losses in (.+) are",
    ):
        pairs = [found.groups() for _, row in rows() if (found := re.search(twos, row.text))]
        assert len(pairs) > 100
        assert [pair for pair in pairs if pair[0] == pair[1]] == []


def shows_two_values(template: Template) -> bool:
    parts = [piece.partition(".") for piece in template.pieces[1::2]]
    return any((figure, ".", "to") in parts for figure, _, part in parts if part == "from")


def test_figures_agree_with_the_words() -> None:
    """`rose from A to B` has B above A, and the percentage, the difference and the parts are those
    of the values shown.
    """
    read = {row.template: sentence_numbers.judged(row.text) for _, row in rows()}
    two = {id for id, template in GRAMMAR.templates.items() if shows_two_values(template)}
    assert {id for id, faults in read.items() if faults is not None} == two
    assert [
        (row.text, faults) for _, row in rows() if (faults := sentence_numbers.judged(row.text))
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
def test_figures_that_contradict_the_words_are_seen(old: str, new: str, tmp_path: Path) -> None:
    """The reader of figures is no rubber stamp."""
    grammar = load_grammar(changed(tmp_path, old, new))
    assert any(
        sentence_numbers.judged(sentence(index, 7, "train", grammar).text) for index in range(1_500)
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
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
            r"positive\.growth: key: 'company' is no slot",
        ),
        (
            'figures = { r = "usd_m up" }',
            'figures = { r = "usd_m up", s = "eps" }',
            r"figures\.s: not used",
        ),
        ('id = "loss-narrowed"', 'id = "growth"', r"positive\.growth: the id is used twice"),
        ('id = "beat-own-plan", held_out = true', 'id = "beat-own-plan"', None),
        ("low = 400, high = 48000", "low = 48000, high = 400", r"measures\.usd_m"),
        ('"Nevada", "Texas"', '"Nevada", "Nevada"', r"words\.state: .*each once"),
        ("[registers]", "[registers", r"line"),
    ],
)
def test_a_grammar_that_is_not_well_formed_is_refused(
    old: str, new: str, said: str | None, tmp_path: Path
) -> None:
    """The error names the file and the key; a fourth held-out template that becomes a seen one is
    still a good grammar.
    """
    file = changed(tmp_path, old, new)
    if said is None:
        assert load_grammar(file).digest != GRAMMAR.digest
        return
    with pytest.raises(KnowledgeError, match=rf"^{re.escape(str(file))}: .*{said}"):
        load_grammar(file)


def test_too_few_held_out_templates_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "grammar.toml"
    file.write_text(FILE.read_text().replace("held_out = true, ", "", 2))
    with pytest.raises(
        KnowledgeError, match=r"cell earnings_call\.positive: 12 seen and 2 held-out"
    ):
        load_grammar(file)


@pytest.mark.parametrize("count", [1, 5, 17, 100, ROWS])
def test_the_report_finds_nothing_wrong_with_what_is_generated(count: int) -> None:
    """At any size; and it counts every row once in each table."""
    report = check_sentences(rows(count=count), GRAMMAR)
    assert report.violations == []
    assert report.splits == {"train": count, "eval": count}
    for table in (report.labels, report.registers, report.templates):
        assert {split: sum(counts.values()) for split, counts in table.items()} == report.splits


HELD_OUT = next(id for id, template in GRAMMAR.templates.items() if template.held_out)
A_TRAIN_TEXT = next(
    f"Text {number}." for number in range(100) if text_split(f"Text {number}.") == "train"
)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_the_report_finds_each_violated_requirement(requirement: str) -> None:
    """Every requirement is broken on purpose, once."""
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
            (s, row) for s, row in good if s == "train" or GRAMMAR.templates[row.template].held_out
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
