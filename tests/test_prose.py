"""Free text says no number that the input and its rules do not bear out, and the engine's own prose is never blamed."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from finops_cli.domain import exact_json, limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import render_usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.foundry.resolver_examples import cases
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.pipeline.intake import take_case, take_fail
from finops_cli.rules.handoff import handoff
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage
from finops_cli.verify.figures import figures, known, unknown_figures
from finops_cli.verify.prose import check_prose, check_reason
from finops_cli.verify.shapes import RESOLVER_INPUT
from tests.conftest import EXAMPLES, a_fail, jsonl
from tests.oracle.random_fails import random_case

SEED, FAILS, CASES = 20260301, 1_000, 500
PHRASES = frozenset(("Rule 203", "Rule 204", "17 CFR 242.204", "15-day", "T+0", "T+1", "T+2", "L1", "L2", "L3", "L4", "B2B"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12,000 shares, 12000sh, 12\u202f000 shares", [12000, 12000, 12000]),
        ("$2.1M, $450K, $1.25 million, 5k shares, 3bn, 5mm", [2_100_000, 450_000, 1_250_000, 5_000, 3 * 10**9, 5_000_000]),
        ("3.5%, 40.5 %, .65, 1.5x", ["3.5", "40.5", "0.65", "1.5"]),
        ("T+13, 7d, 13+, 7-day", [13, 7, 13, 7]),
        ("position -5000, -$5,000, \u22125000, (5000)", [-5000, -5000, -5000, 5000]),
        ("10\u201312 days, 32000-12000=20000, 9 -1", [10, 12, 32000, 12000, 20000, 9, 1]),
        ("60x0.30, 69.5 x1.2, USD5000", [60, "0.30", "69.5", "1.2", 5000]),
        ("12,00 and 1,2,3", [12, "~00", 1, 2, 3]),
        ("DTC-0161, DTC 4321, dtc-0161", ["~0161", "~4321", "~0161"]),
        ("594918104, 037833100, 12345A106, G12345106", [594918104, "~037833100", "~12345A106", "~G12345106"]),
        ("L3, S1, F-1001", ["~L3", "~S1", 1001]),
        ("no number at all, five thousand", []),
    ],
)
def test_a_figure_is_read_as_the_desk_writes_it(text: str, values: list[int | str]) -> None:
    """Numbers are exact, with their suffix multiplied; what stands in a name (here after ~) is that name."""
    expected = [value[1:] if str(value).startswith("~") and isinstance(value, str) else Decimal(value) for value in values]
    assert [figure.value for figure in figures(text)] == expected


@given(st.decimals(min_value=0, max_value=10**12, places=2))
def test_an_amount_reads_back(amount: Decimal) -> None:
    """What `render_usd` writes, a figure is worth."""
    assert [figure.value for figure in figures(f"worth {render_usd(amount)}.")] == [amount]


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=4), st.integers(0, 3), st.sampled_from([-1, 1]))
def test_half_up_and_nothing_else_is_borne_out(number: Decimal, decimals: int, off: int) -> None:
    """A known number bears out itself rounded half-up to fewer decimals, and not the neighbours of that."""
    unit = Decimal(1).scaleb(-decimals)
    rounded = number.quantize(unit, ROUND_HALF_UP)
    assert not unknown_figures(f"is {rounded} points", known(number))
    wrong = rounded + off * unit
    if wrong and (wrong > 0) == (number > 0):
        assert unknown_figures(f"is {wrong} points", known(number))


@pytest.mark.parametrize(
    ("text", "of", "unknown"),
    [
        ("88.3 points", Decimal("88.25"), []),
        ("88.2 points", Decimal("88.25"), ["88.2"]),
        ("33.3%", Decimal("33.3333"), []),
        ("$2.1M", Decimal(2_149_000), []),
        ("$2.2M", Decimal(2_149_000), ["2.2M"]),
        ("12,000 shares", 12_345, ["12,000 shares"]),
        ("12k shares", 12_345, []),
        ("aged 34 days", Decimal("33.6"), ["34 days"]),
        ("short 5,000", -5_000, []),
        ("short -5,000", 5_000, ["5,000"]),
        ("161 shares", "DTC-0161", ["161 shares"]),
        ("with DTC-0161", "DTC-0161", []),
        ("with DTC-0162", "DTC-0161", ["DTC-0162"]),
        ("counterparty 4321", "DTC-4321", []),
        ("in 037833100", "037833100", []),
        ("in 037833101", "037833100", ["037833101"]),
    ],
)
def test_what_a_known_number_bears_out(text: str, of: object, unknown: list[str]) -> None:
    """Half-up to where the figure ends; days and shares exactly; an amount of either sign; a name as it is."""
    assert [figure.text for figure in unknown_figures(text, known([of]))] == unknown


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Rule 204 and rule 203(b)(3), 17 CFR 242.204(a)(1): 15-day, 15 day", []),
        ("1. Chase. 2. Borrow by T+1; see step 2 and steps 1-3", []),
        ("(1) chase, (2) borrow, escalate to L3; L1-L2, 15\u2011day", []),
        ("204 shares", ["204 shares"]),
        ("T+12 and T+1.5", ["12", "1.5"]),
        ("115-day, L9, $15-day", ["115", "L9", "15"]),
        ("aged (99) days, modifier 1.1. Next", ["99", "1.1"]),
    ],
)
def test_words_of_the_field_claim_nothing(text: str, unknown: list[str]) -> None:
    """Accepted phrases, step numbers and enumerations are no figures; what only looks like them is."""
    assert [figure.text for figure in unknown_figures(text, known(), PHRASES)] == unknown


@pytest.fixture(scope="module")
def triages(book: Book) -> list[tuple[FailRecord, Triage]]:
    records = [next(fails(i, SEED, book, "market" if i % 2 else "coverage")) for i in range(FAILS)]
    return [(record, triage(record, book)) for record in records]


@pytest.fixture(scope="module")
def plans(book: Book) -> list[tuple[ResolverInput, Resolution]]:
    drawn = [next(cases(i, SEED, book)) for i in range(CASES)]
    rng = Random(SEED)
    for number in range(CASES):
        case = RESOLVER_INPUT.read(exact_json.decode(exact_json.encode(random_case(rng, f"C-{number}"))))
        assert case is not None
        drawn.append(case)
    return [(case, resolve(case, book)) for case in drawn]


def _wordless(plan: Resolution) -> Resolution:
    """`plan` as a reference that bears nothing out by its own words."""
    steps = tuple(replace(step, rationale="x") for step in plan.resolution_steps)
    return replace(plan, resolution_steps=steps, narrative="x", escalation_reason="")


def test_the_engine_is_never_blamed(
    triages: list[tuple[FailRecord, Triage]], plans: list[tuple[ResolverInput, Resolution]], book: Book
) -> None:
    """Every figure that the engine writes follows from input and rules, without its own words as a witness."""
    for fail, answer in triages:
        assert not list(check_reason(answer, replace(answer, reason="x"), fail, book)), answer.reason
    for case, plan in plans:
        assert not list(check_prose(plan, _wordless(plan), case, book)), plan


@pytest.mark.parametrize("file", sorted(path.name for path in EXAMPLES.glob("*.jsonl") if "expected" not in path.name))
def test_examples_are_never_blamed(file: str, book: Book) -> None:
    """The same for the files in examples/."""
    taken = [fail for line in (EXAMPLES / file).read_bytes().splitlines() if (fail := take_fail(line)[0]) is not None]
    assert taken
    for fail in taken:
        answer = triage(fail, book)
        assert not list(check_reason(answer, replace(answer, reason="x"), fail, book))
        case = handoff(fail, answer, book)
        if not isinstance(case, str):
            plan = resolve(case, book)
            assert not list(check_prose(plan, _wordless(plan), case, book))


def _other_digit(text: str, rng: Random) -> str:
    at = rng.choice([found.start() for found in re.finditer(r"\d", text)])
    return f"{text[:at]}{rng.choice([digit for digit in '0123456789' if digit != text[at]])}{text[at + 1 :]}"


def _added_figure(text: str, rng: Random) -> str:
    words = text.split(" ")
    said = (f"aged {rng.randint(0, 120)} days", f"score {rng.randint(0, 1000) / 10}", f"of {rng.randint(1, 99) * 500:,} shares")
    words.insert(rng.randint(1, len(words)), rng.choice(said))
    return " ".join(words)


@pytest.mark.parametrize(("corrupt", "least"), [(_other_digit, 0.90), (_added_figure, 0.93)])
def test_most_wrong_reasons_are_blamed(
    corrupt: Callable[[str, Random], str], least: float, triages: list[tuple[FailRecord, Triage]], book: Book
) -> None:
    """A changed digit or an added figure; the rest are figures that happen to be true of something else."""
    rng = Random(SEED)
    wrong = [(fail, answer, replace(answer, reason=corrupt(answer.reason, rng))) for fail, answer in triages]
    seen = sum(bool(list(check_reason(said, answer, fail, book))) for fail, answer, said in wrong)
    assert seen >= least * len(wrong)


@pytest.mark.parametrize(("corrupt", "least"), [(_other_digit, 0.75), (_added_figure, 0.93)])
def test_most_wrong_rationales_are_blamed_and_nothing_else(
    corrupt: Callable[[str, Random], str], least: float, plans: list[tuple[ResolverInput, Resolution]], book: Book
) -> None:
    """One rationale of a plan is wrong: the finding names it, expects the waterfall's, and no other text is named."""
    rng, seen, wrong = Random(SEED), 0, 0
    for case, plan in plans:
        spots = [i for i, step in enumerate(plan.resolution_steps) if re.search(r"\d", step.rationale)]
        if not spots:
            continue
        i, steps = rng.choice(spots), list(plan.resolution_steps)
        steps[i] = replace(steps[i], rationale=corrupt(steps[i].rationale, rng))
        found = list(check_prose(replace(plan, resolution_steps=tuple(steps)), plan, case, book))
        wanted = (f"/resolution_steps/{i}/rationale", plan.resolution_steps[i].rationale, steps[i].rationale)
        assert {(finding.path, finding.expected, finding.actual) for finding in found} <= {wanted}
        seen, wrong = seen + len(found), wrong + 1
    assert wrong > CASES
    assert seen >= least * wrong


def _card_1(book: Book, **changes: object) -> tuple[FailRecord, Triage]:
    fail, _, problems = take_fail(jsonl(a_fail(**changes)).strip())
    assert fail is not None, problems
    return fail, triage(fail, book)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("Score 88.2, aged 99 days", "88.2, 99 days"),
        ("5,000 shares in 594918104 with DTC-0005, aged 7 days: 1 day past T+6, score 83", None),
        ("$2.1M; 60 x 0.30 = 18 and 70 x 0.25 = 17.5 make 69.5 x 1.20 = 83.4 of at most 100", None),
        ("Rule 204, 15-day fail rate 4%, coverage only 10%: escalate to L3", None),
        ("Age in the 7-9 day band, coverage below 25%, value from $1M to $5M, rate 3-5%, score over 75", None),
        ("Coverage below 50%, rate over 2%", "50%, 2%"),
        ("The counterparty promises 3,000 shares, ref 45123", "3,000 shares, 45123"),
    ],
)
def test_a_reason_says_what_the_record_bears_out(reason: str, says: str | None, book: Book) -> None:
    """Record, points, products and days left count; what a counterparty wrote into the notes does not."""
    fail, reference = _card_1(book, notes="3,000 shares promised, ref 45123")
    found = list(check_reason(replace(reference, reason=reason), reference, fail, book))
    assert [(finding.rule, finding.path, finding.expected, finding.actual) for finding in found] == (
        [("triage.reason_figures", "/reason", reference.reason, reason)] if says else []
    )
    assert says is None or f"says {says}:" in found[0].message


def test_products_and_days_left_are_reckoned(book: Book) -> None:
    """Base 51.5 x 0.90 = 46.35, x 1.20 = 55.62, and aged 1 of 6 days: 5 are left, and not 4."""
    fail, reference = _card_1(book, age_days=1, inventory_coverage_pct=30, cp_fail_rate_pct=2)
    assert reference.priority_score == Decimal("55.6")

    def blamed(reason: str) -> bool:
        return bool(list(check_reason(replace(reference, reason=reason), reference, fail, book)))

    assert not blamed("46.35 before concentration, 55.62 after, 5 days left")
    assert blamed("46.36 before concentration")
    assert blamed("55.63 after")
    assert blamed("4 days left")


def test_a_rationale_speaks_of_its_own_counterparty(book: Book) -> None:
    """DTC-0901 is owed for 8 days, and only a rationale that names it may say so of another's step."""
    [line] = islice((EXAMPLES / "back-to-back.jsonl").read_bytes().splitlines(), 1)
    fail = take_fail(line)[0]
    assert fail is not None
    case = handoff(fail, triage(fail, book), book)
    assert not isinstance(case, str)
    plan = resolve(case, book)

    def blamed(rationale: str) -> list[str]:
        steps = (replace(plan.resolution_steps[0], rationale=rationale), *plan.resolution_steps[1:])
        return [finding.path for finding in check_prose(replace(plan, resolution_steps=steps), plan, case, book)]

    assert plan.resolution_steps[0].dtc != "DTC-0901"
    assert blamed("Aged 9d, 11,000 shares") == []
    assert blamed("Aged 8d, 11,000 shares") == ["/resolution_steps/0/rationale"]
    assert blamed("Aged 9d, before DTC-0901 with 8d") == []


def test_the_texts_of_card_2_are_borne_out(book: Book) -> None:
    """`Age 3d 12000sh`, `Residual 4000 shs uncoverable` and the card's narrative say nothing wrong."""
    given, resolution = exact_json.decode((EXAMPLES / "cards/published.jsonl").read_bytes().splitlines()[3]).values()
    case, _, problems = take_case(exact_json.encode(given), book)
    assert case is not None, problems
    plan = resolve(case, book)
    steps = (
        replace(plan.resolution_steps[0], rationale=resolution["resolution_steps"][0]["rationale"]),
        *plan.resolution_steps[1:],
    )
    said = replace(plan, resolution_steps=steps, **{key: resolution[key] for key in ("narrative", "escalation_reason")})
    assert list(check_prose(said, plan, case, book)) == []
    wrong = replace(said, narrative="Chase DTC-0161 for 12,500 shs", escalation_reason="Residual 4400 shs")
    assert [finding.path for finding in check_prose(wrong, plan, case, book)] == ["/narrative", "/escalation_reason"]


@pytest.mark.parametrize("text", ["9" * limits.TEXT_CHARS, "1,111" * 13_000, "a1" * 32_000, " 9.5M" * 13_000, "\n 1. " * 10_000])
def test_a_hostile_text_is_read_to_its_end(text: str, book: Book) -> None:
    """The message of a finding stays short whatever the text holds, and no number is too long to be read."""
    fail, reference = _card_1(book)
    for finding in check_reason(replace(reference, reason=text), reference, fail, book):
        assert len(finding.message) < limits.PROBLEMS * (limits.SHOWN_CHARS + 2) + 80
