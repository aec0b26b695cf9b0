"""Make, verify, count and import the rows of the sentiment set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.rows import Message, Row, TemplateArguments, differences
from finops_cli.datasets.sentiment.checks import REQUIREMENTS, check_sentences
from finops_cli.datasets.sentiment.examples import (
    EVAL_EVERY,
    Sentence,
    sentence,
    surely_distinct,
    text_split,
)
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.sentiment.phrasebank import PhrasebankRead, read_phrasebank
from finops_cli.datasets.splits import Split, intended_split
from finops_cli.datasets.stage_type import Features, MaskText
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain import exact_json
from finops_cli.domain.finding import Damage, Finding
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import sentiment_prompt
from finops_cli.verify.codecs import Codec

SENTENCE = Codec("sentence", Sentence, {})


def eval_every(kb: KnowledgeBase) -> int:
    """Return one in how many sentences belongs to the eval split. The knowledge base does not
    change it.
    """
    return EVAL_EVERY


def sentence_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    """Make example `index` of the sentiment set, counted over both splits.

    Every profile has the same sentences.
    """
    every = kb.datasets.eval_every
    split = intended_split(index, every)
    within = index // every if split == "eval" else index - index // every
    return sentiment_row(f"S-{seed}-{index:08d}", sentence(within, seed, split, load_grammar()))


def sentiment_row(name: str, labelled: Sentence) -> Row:
    """Make the row of a labelled sentence. Its text decides its split."""
    return Row(
        id=name,
        stage="sentiment",
        split=text_split(labelled.text),
        prompt=[Message("user", sentiment_prompt(labelled.text))],
        completion=[Message("assistant", labelled.label)],
        chat_template_kwargs=TemplateArguments(False),
        record=exact_json.encode(labelled).decode(),
        answer=labelled.label,
    )


def sentence_of(row: Row) -> Sentence:
    """Read the labelled sentence of a row.

    Raises ValueError if its record is not a sentence.
    """
    return msgspec.json.decode(row.record, type=Sentence)


def verify_sentiment_row(row: Row, kb: KnowledgeBase) -> list[Finding]:
    """Compare every byte of a row with the row that its record gives."""
    return differences(row, sentiment_row(row.id, sentence_of(row)))


def sentiment_features(row: Row, kb: KnowledgeBase) -> Features:
    """Return label, register and template of a row."""
    labelled = sentence_of(row)
    return (
        ("label", labelled.label),
        ("register", labelled.register),
        ("template", labelled.template),
    )


def max_distinct_sentences() -> int:
    """Return the number of training sentences up to which no text repeats."""
    return surely_distinct("train", load_grammar())


def phrasebank_rows(
    path: Path, on_message: Callable[[str], None], mask: MaskText
) -> Iterator[tuple[Row, Features]]:
    """Yield rows and features from a copy of financial_phrasebank, their texts masked.

    Damaged lines and the totals go to `on_message`, masked too, because they quote the file.
    """
    for number, item in enumerate(read_phrasebank(path)):
        if isinstance(item, Sentence):
            masked = replace(item, text=mask(item.text))
            features = (("label", item.label), ("register", item.register))
            yield sentiment_row(f"P-{number:06d}", masked), features
        elif isinstance(item, Damage):
            problems = (f"{item.file}:{item.line}: {each.message}" for each in item.problems)
            on_message(mask("; ".join(problems)))
        elif isinstance(item, PhrasebankRead):
            on_message(
                f"{item.file}: {item.sentences:,} sentences, {item.duplicates:,} duplicates"
                f" dropped, {item.damaged:,} damaged lines"
            )


def sentence_requirements(rows: Iterator[Row]) -> list[Requirement]:
    """Test the requirements of labelled sentences on all rows together."""
    broken: dict[str, str] = {}
    for fault in check_sentences(_sentences(rows), load_grammar()).violations:
        broken.setdefault(
            fault.requirement, f"{fault.rows:,} rows of {fault.split}: {fault.example}"
        )
    return [
        Requirement(name=text, met=name not in broken, detail=broken.get(name, ""))
        for name, text in REQUIREMENTS.items()
    ]


def _sentences(rows: Iterator[Row]) -> Iterator[tuple[Split, Sentence]]:
    """Yield every labelled sentence. A row without one is already counted as bad."""
    for row in rows:
        try:
            labelled = sentence_of(row)
        except (ValueError, RecursionError):
            continue
        yield row.split, labelled
