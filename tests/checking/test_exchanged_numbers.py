"""Right sentences in which a number is exchanged: by the other numbers of their record, and by the
other numbers of the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations
from random import Random

import pytest

from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.sentences import (
    Stage1,
    Stage2,
    draw_stage2,
    plan_random_case,
    read_examples,
    read_groups,
    read_records,
)

pytestmark = pytest.mark.slow
_NUMBER = re.compile(
    r"(?<![\w.,+-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w|[.,]\d)|(?<=DTC-)\d{4}|(?<=T\+)\d+"
)
_FACTOR = re.compile(r"\b[01]\.\d+\b")
_PARTIES = re.compile(r"DTC-\d{4}(?:(?:, | and )DTC-\d{4})+")
SEED = 20261201
CASES, EXCHANGES = 60, 40
PASSING = {
    "Base score 77, lifted by the threshold modifier of 1.2 and eased by coverage (25).",
    "Escalate to L3: 32,000, aged 7 days, deadline T+6 passed.",
    (
        "Chase DTC-0161 for 12,000 (37.5%), apply 8,000 from the box (62.5%), deliver the 20,000"
        " today."
    ),
    "Score capped at 100: base 92.5 times 1.",
}
"""Exchanged, and yet true: a coverage without its sign, a number without a role, the coverage after
a step in place of its part, and the inventory modifier.
"""


@pytest.fixture(scope="module")
def right(kb: KnowledgeBase) -> list[tuple[Stage1, Stage2 | None, str, str]]:
    """List the right sentences that stand, and the engine's own: stages, field and text."""
    records, found = read_examples(kb), []
    first = records["F-1001"]
    for file in ("monday_sentences.toml", "blind_sentences.toml"):
        for field, texts in read_groups(file, "right").items():
            found += [(*first, field, text) for text in texts]
    for file in ("record_sentences.toml", "attack_sentences.toml"):
        for record, fields in read_records(file, "right").items():
            for field, texts in fields.items():
                found += [(*records[record], field, text) for text in texts]
    for stage1, stage2 in records.values():
        found.append((stage1, stage2, "reason", stage1.answer.reason))
        if stage2 is not None:
            found.append((stage1, stage2, "narrative", stage2.plan.narrative))
    return [each for each in found if not find(*each, kb)]


def find(
    stage1: Stage1, stage2: Stage2 | None, field: str, text: str, kb: KnowledgeBase
) -> list[str]:
    """Return the rules that a sentence breaks."""
    if field == "reason":
        return [each.rule for each in stage1.find(text, kb)]
    assert stage2 is not None
    return [each.rule for each in stage2.find(field, text, kb)]


def numbers_of(*given: object) -> list[str]:
    """Return the numbers of a record and of its answers, as sentences write them."""
    texts = [exact_json.encode(each).decode() for each in given]
    found = {Decimal(number) for text in texts for number in re.findall(r"[:,\[](\d[\d.]*)", text)}
    return [f"{number.normalize():,f}" for number in sorted(found)]


def exchange_each(text: str, numbers: list[str]) -> Iterator[str]:
    """Yield the text with each of its numbers, but names and days, exchanged for each other one."""
    for found in _NUMBER.finditer(text):
        if text[: found.start()].endswith(("DTC-", "T+")):
            continue
        for number in numbers:
            if not is_rounded(number, found[0]):
                yield text[: found.start()] + number + text[found.end() :]


def exchange_two(text: str) -> Iterator[str]:
    """Yield the text with two of its numbers exchanged for each other."""
    for a, b in combinations(_NUMBER.finditer(text), 2):
        if value(a[0]) != value(b[0]):
            yield text[: a.start()] + b[0] + text[a.end() : b.start()] + a[0] + text[b.end() :]


def value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def write_in_order(text: str) -> str:
    """Return the text with its factors, the participants of each list, and its clauses in order."""
    factors = iter(sorted(_FACTOR.findall(text)))
    text = _FACTOR.sub(lambda _: next(factors), text)
    text = _PARTIES.sub(lambda found: " ".join(sorted(re.findall(r"\d{4}", found[0]))), text)
    return "; ".join(sorted(text.lower().split("; ")))


def is_rounded(number: str, exact: str) -> bool:
    """Test for a number that is another one with fewer decimals, rounded half-up."""
    decimals = Decimal(1).scaleb(-len(number.partition(".")[2]))
    return value(exact).quantize(decimals, ROUND_HALF_UP) == value(number)


def test_number_of_the_record_in_another_place_does_not_pass(
    right: list[tuple[Stage1, Stage2 | None, str, str]], kb: KnowledgeBase
) -> None:
    """A number of the record in the place of another one passes only where it is true as well."""
    judged, passing = 0, set()
    for stage1, stage2, field, text in right:
        answers = (stage1.answer, *([] if stage2 is None else [stage2.plan]))
        for changed in set(exchange_each(text, numbers_of(stage1.fail, *answers))):
            judged += 1
            if not find(stage1, stage2, field, changed, kb):
                passing.add(changed)
    assert judged >= 14_000
    assert passing <= PASSING


def test_two_numbers_exchanged_do_not_pass(
    right: list[tuple[Stage1, Stage2 | None, str, str]], kb: KnowledgeBase
) -> None:
    """Two exchanged numbers pass only as factors of a product, or as parties of a gridlock."""
    judged, passing = 0, []
    for stage1, stage2, field, text in right:
        for changed in set(exchange_two(text)):
            judged += 1
            is_same = write_in_order(text) == write_in_order(changed)
            if not is_same and not find(stage1, stage2, field, changed, kb):
                passing.append(changed)
    assert judged >= 1_200
    assert passing == []


def test_exchanged_number_of_a_generated_plan_does_not_pass(kb: KnowledgeBase) -> None:
    """In narratives of the engine about generated cases, 1 exchanged number in 500 passes at most:
    one that is true of another receive of the participant.
    """
    rng, drawn, judged, passing = Random(SEED), draw_stage2(SEED, kb), 0, []
    for _ in range(CASES):
        for stage2 in (next(drawn), plan_random_case(rng, kb)):
            text = stage2.plan.narrative
            numbers = numbers_of(stage2.case, stage2.plan)
            changed = sorted({*exchange_each(text, numbers), *exchange_two(text)})
            for each in rng.sample(changed, min(len(changed), EXCHANGES)):
                if write_in_order(each) != write_in_order(text):
                    judged += 1
                    passing += [] if stage2.find("narrative", each, kb) else [each]
    assert judged >= CASES * EXCHANGES
    assert 500 * len(passing) <= judged, passing[:10]
