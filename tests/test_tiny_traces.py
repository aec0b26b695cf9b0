"""What the tiny models write out before they answer: every figure of it is right, and nothing in it has to be guessed."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.money import plain, render_usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.foundry.resolver_examples import cases
from finops_cli.foundry.tiny_digits import LARGEST, WIDTH, difference, divided, multiples, total, units_first
from finops_cli.foundry.tiny_drills import resolver_drill, triage_drill
from finops_cli.foundry.tiny_resolver_trace import tiny_trace
from finops_cli.foundry.tiny_triage_trace import triage_trace
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.rules.plan import resolve
from finops_cli.rules.regsho import regulatory_state
from finops_cli.rules.triage import triage

SHARES = st.integers(0, LARGEST)
_OPERATION = re.compile(r"(?<!\d)(\d{8})([+-])(\d{8})=(\d{8})([+0-]?)")


def worth(digits: str) -> int:
    return int(digits[::-1])


@given(SHARES, SHARES)
def test_a_difference_is_written_units_first_and_its_sign_says_whether_it_went_below_zero(a: int, b: int) -> None:
    found = _OPERATION.fullmatch(difference(a, b))
    assert found is not None
    assert (worth(found[1]), worth(found[3])) == (a, b)
    assert worth(found[4]) == (a - b) % 10**WIDTH
    assert found[5] == ("-" if a < b else "0" if a == b else "+")


@given(SHARES, SHARES)
def test_a_sum_is_written_units_first(a: int, b: int) -> None:
    found = _OPERATION.fullmatch(total(a, b))
    assert found is not None
    assert worth(found[4]) == a + b


@given(st.integers(1, LARGEST).flatmap(lambda divisor: st.tuples(st.integers(0, divisor - 1), st.just(divisor))))
def test_a_division_gives_four_digits_and_rounds_a_half_down(numbers: tuple[int, int]) -> None:
    dividend, divisor = numbers
    quotient, rest = divmod(dividend * 10_000, divisor)
    assert divided(dividend, divisor, 4).quotient == quotient + (2 * rest > divisor)


@given(st.integers(1, LARGEST).flatmap(lambda divisor: st.tuples(st.integers(0, divisor - 1), st.just(divisor))))
def test_every_block_of_a_division_takes_a_row_of_the_table_and_no_guess_is_too_small(numbers: tuple[int, int]) -> None:
    dividend, divisor = numbers
    rows = {f"{row[0]}": row[2:] for row in multiples(divisor).split(" ")[1:]} | {"0": units_first(0)}
    rest = dividend
    for block in re.findall(r"(?:\d{3})?\d[xar]\d{8}=\d{8}[+0-]", divided(dividend, divisor, 4).working):
        digit, kind, row, result, sign = re.fullmatch(r"(?:\d{3})?(\d)([xar])(\d{8})=(\d{8})([+0-])", block).groups()  # type: ignore[union-attr]
        rest = rest * 10 - int(digit) * divisor if kind in "xr" else rest + divisor
        assert row == (units_first(divisor) if kind == "a" else rows[digit])
        assert worth(result) == rest % 10**WIDTH
        assert sign == "-" if rest < 0 else sign in "+0"
        assert rest < divisor or kind == "r"


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        units_first(10**WIDTH)
    with pytest.raises(ValueError, match="less than one"):
        divided(5, 5, 4)


@pytest.mark.parametrize("profile", ["coverage", "market"])
def test_the_working_of_a_triage_ends_in_its_score(profile: str, book: Book) -> None:
    for index in range(400):
        record = next(fails(index, 3, book, profile))  # type: ignore[arg-type]
        answer = triage(record, book)
        qty, factors, modifiers, joint, sums, parts, product, end = triage_trace(record, answer, book).split("\n")
        c = answer.score_components
        said = (c.age_factor, c.value_factor, c.regulatory_factor, c.cp_history_factor)
        assert qty == f"qty {record.qty} {record.qty:,}"
        words = factors.split()
        assert tuple(map(Decimal, (words[2], words[5], words[12], words[15]))) == said
        assert words[1] == f"{record.age_days}"
        assert words[4] == render_usd(record.market_value)
        assert words[7:12] == [
            record.reg_sho_status or "none",
            record.cns_direction,
            record.side,
            "Yes" if record.reg_sho_threshold else "No",
            regulatory_state(record, book.triage),
        ]
        assert words[14] == f"{plain(record.cp_fail_rate_pct)}%"
        assert Decimal(modifiers.split()[2]) / 100 == c.inventory_modifier
        assert Decimal(modifiers.split()[-1]) / 10_000 == c.concentration_modifier
        assert Decimal(joint.split()[1]) / 10**6 == c.inventory_modifier * c.concentration_modifier
        assert Decimal(sums.split("=")[-1]) / 10 == c.base_score
        for a, b, s in re.findall(r"(?=(\d{4})\+(\d{4})=(\d{4}))", sums):
            assert int(a) + int(b) == int(s)
        digits = (int(c.base_score // 10), int(c.base_score % 10), int(c.base_score * 10 % 10))
        assert list(map(worth, parts.split())) == [digit * int(joint.split()[1]) for digit in digits]
        first, second = map(worth, product.split())
        assert first == worth(parts.split()[0]) * 10 + worth(parts.split()[1])
        assert second == first * 10 + worth(parts.split()[2])
        assert end == f"{answer.priority_score} {book.scoring.tier.of(answer.priority_score)}"


def examples(book: Book, count: int) -> list[tuple[ResolverInput, Resolution]]:
    drawn = [next(cases(index, 4, book)) for index in range(count)]
    return [(case, resolve(case, book)) for case in drawn]


def test_every_operation_in_the_working_of_a_plan_is_right(book: Book) -> None:
    for case, plan in examples(book, 300):
        for a, sign, b, result, _ in _OPERATION.findall(tiny_trace(case, plan, book)):
            reckoned = worth(a) + worth(b) if sign == "+" else worth(a) - worth(b)
            assert worth(result) == reckoned % 10**WIDTH


def test_the_working_of_a_plan_says_each_figure_that_the_plan_copies(book: Book) -> None:
    for case, plan in examples(book, 300):
        text = tiny_trace(case, plan, book)
        for step in plan.resolution_steps:
            assert f"take {step.qty} left {step.remaining_short} pct {step.coverage_after_step_pct:.2f}" in text
        assert text.endswith(f"total {plan.total_coverable} residual {plan.residual_short}")
        for qty in (plan.fallback_qty, plan.secondary_fallback_qty):
            assert not qty or f" take {qty}" in text
        assert all(dtc in text for dtc in plan.gridlock_parties)


def test_the_digits_of_a_quotient_and_its_rounding_make_the_percentage(book: Book) -> None:
    for case, plan in examples(book, 300):
        for step in plan.resolution_steps:
            if step.qty and step.remaining_short:
                uncovered = divided(step.remaining_short, case.ftd_qty, 4).quotient
                assert Decimal(10_000 - uncovered) / 100 == step.coverage_after_step_pct


def test_a_drill_is_the_working_that_an_answer_has(book: Book) -> None:
    for index in range(200):
        score = "".join(segment.text for segment in triage_drill(index, 1, book))
        assert re.fullmatch(r"<think>\nage \d+ .+\ninventory .+ concentration \d{5}\njoint .+\n</think>\n\n", score, re.DOTALL)
        plan = resolver_drill(index, 1, book)
        text = "".join(segment.text for segment in plan)
        assert text.startswith("<think>\nowed ")
        given_numbers = [segment.text for segment in plan if not segment.learned][1:]
        assert all(re.fullmatch(r"\d{8}|sequential|parallel", number) for number in given_numbers)


def test_drills_follow_from_seed_and_index(book: Book) -> None:
    for drill in (triage_drill, resolver_drill):
        first = [drill(index, 2, book) for index in range(20)]
        assert first == [drill(index, 2, book) for index in range(20)]
        assert len({str(one) for one in islice(first, 20)}) > 15
