"""What the tiny resolver writes out before its plan: every figure of it is right, and its plan
passes the checker.
"""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.scratchpad.auxiliary_tasks import (
    make_arithmetic_task,
    make_quotient_digit_task,
    make_resolver_task,
)
from finops_cli.datasets.scratchpad.digits import (
    LARGEST,
    MOST,
    WIDTH,
    divide,
    render_comparison,
    render_difference,
    render_multiples,
    render_sum,
    units_first,
)
from finops_cli.datasets.scratchpad.resolver import render_resolver_scratchpad
from finops_cli.datasets.scratchpad.rows import make_case, make_reading_task, make_resolver_row
from finops_cli.datasets.scratchpad.short_plan import make_short_plan
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import resolver_prompt
from finops_cli.models.tasks import resolver_task

SHARES = st.integers(0, LARGEST)
DIVISIONS = st.integers(1, LARGEST).flatmap(
    lambda divisor: st.tuples(st.integers(0, divisor - 1), st.just(divisor))
)
_TAKEN = re.compile(r"(?<!\d)(\d{7})\|(\d{7})>(\d{7})([+0-])(?:(\d{7}) \d+)?")
_ADDED = re.compile(r"(?<!\d)(\d{7})\+(\d{7})>(\d{7})")
_BLOCK = re.compile(r"(?:\d{5})?([a-e])(\d)([xy])(\d{7})=(\d{7})([+0-])")


def worth(digits: str) -> int:
    return int(digits[::-1])


@given(SHARES, SHARES)
def test_a_difference_is_written_units_first_with_its_sign_and_what_stays_as_one_reads_it(
    taken: int, of: int
) -> None:
    found = _TAKEN.fullmatch(render_difference(taken, of))
    assert found is not None
    assert (worth(found[1]), worth(found[2])) == (taken, of)
    assert worth(found[3]) == (of - taken) % 10**WIDTH
    assert found[4] == ("-" if of < taken else "0" if of == taken else "+")
    assert found[5] == (f"{of - taken:07d}" if of > taken else None)
    assert render_difference(taken, of).endswith(f" {of - taken}") == (of > taken)
    assert render_difference(taken, of).startswith(render_comparison(taken, of))


@given(SHARES, SHARES)
def test_a_sum_is_written_units_first(a: int, b: int) -> None:
    found = _ADDED.fullmatch(render_sum(a, b))
    assert found is not None
    assert worth(found[3]) == a + b


@given(DIVISIONS)
def test_a_division_gives_four_digits_and_rounds_a_half_down(numbers: tuple[int, int]) -> None:
    dividend, divisor = numbers
    quotient, rest = divmod(dividend * 10_000, divisor)
    assert divide(dividend, divisor, 4).quotient == quotient + (2 * rest > divisor)


@given(DIVISIONS)
def test_every_block_of_a_division_takes_a_row_of_the_table_and_no_guess_is_too_small(
    numbers: tuple[int, int],
) -> None:
    dividend, divisor = numbers
    rows = dict(re.findall(r"(\d)x(\d{7})", render_multiples(divisor))) | {"0": units_first(0)}
    opening, _, blocks = divide(dividend, divisor, 4).working.partition("+")
    assert opening == f"={units_first(dividend)}"
    rest = dividend
    for place, digit, kind, row, result, sign in _BLOCK.findall(blocks):
        rest = rest * 10 - worth(row) if kind == "x" else rest + divisor
        assert row == (rows[digit] if kind == "x" else units_first(divisor))
        assert worth(result) == rest % 10**WIDTH
        assert sign == ("-" if rest < 0 else "0" if rest == 0 else "+")
        assert rest < divisor or place == "e"


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        units_first(MOST + 1)
    with pytest.raises(ValueError, match="less than one"):
        divide(5, 5, 4)


def examples(kb: KnowledgeBase, count: int) -> list[tuple[ResolverInput, Resolution]]:
    drawn = [make_case(index, 4, kb, 3 if index % 2 else None) for index in range(count)]
    return [(case, make_short_plan(case, kb)) for case in drawn]


def test_a_tiny_plan_is_valid(kb: KnowledgeBase) -> None:
    for case, plan in examples(kb, 300):
        assert resolver_task(case, kb).check(plan) == []


def test_every_operation_in_the_working_of_a_plan_is_right(kb: KnowledgeBase) -> None:
    for case, plan in examples(kb, 300):
        text = render_resolver_scratchpad(case, plan, kb)
        for taken, of, result, _, _ in _TAKEN.findall(text):
            assert worth(result) == (worth(of) - worth(taken)) % 10**WIDTH
        for a, b, result in _ADDED.findall(text):
            assert worth(result) == worth(a) + worth(b)


def test_the_working_of_a_plan_says_each_figure_that_the_plan_copies(kb: KnowledgeBase) -> None:
    for case, plan in examples(kb, 300):
        text = render_resolver_scratchpad(case, plan, kb)
        for step in plan.resolution_steps:
            if step.qty and step.remaining_short:
                worked_off = (
                    rf"\+{step.remaining_short:07d} {step.remaining_short}=\S+"
                    rf" {step.coverage_after_step_pct:.2f} "
                )
                assert re.search(rf"(?m)^{step.step} .*{worked_off}", text)
            assert re.search(
                rf"(?m)^{step.step} {step.action}\b.*{f' took {step.qty}' if step.qty else ''}$",
                text,
            )
        for taken in (plan.fallback_qty, plan.secondary_fallback_qty):
            assert not taken or re.search(rf"(?m)^(\w+ recall|borrow) .* took {taken}$", text)
        assert plan.residual_short == 0 or f"{plan.residual_short:07d}" in text
        assert (
            plan.total_coverable in (0, case.ftd_qty)
            or f"{plan.total_coverable:07d} {plan.total_coverable}" in text
        )
        assert all(dtc in text for dtc in plan.gridlock_parties)


def test_the_digits_of_a_quotient_and_its_rounding_make_the_percentage(kb: KnowledgeBase) -> None:
    for case, plan in examples(kb, 300):
        for step in plan.resolution_steps:
            if step.qty and step.remaining_short:
                uncovered = divide(step.remaining_short, case.ftd_qty, 4).quotient
                assert Decimal(10_000 - uncovered) / 100 == step.coverage_after_step_pct


def test_reading_and_drill_are_parts_of_the_answer_to_the_same_input(kb: KnowledgeBase) -> None:
    for index in range(100):
        case = make_case(index, 1, kb, 3)
        row = make_resolver_row(case, kb, "tiny-resolver")
        asked, reading = make_reading_task(case, kb, "tiny-resolver")
        assert row.completion[0].content.startswith(reading.text)
        assert asked.text == resolver_prompt(case, "tiny-resolver").text
        assert (
            "".join(piece.text for piece in make_resolver_task(case, kb))
            in row.completion[0].content
        )


def test_inputs_of_few_receipts_are_drawn_so_and_follow_from_seed_and_index(
    kb: KnowledgeBase,
) -> None:
    for index in range(50):
        case = next(cases(index, 3, kb, (1, 3)))
        assert 1 <= len(case.ftrs) <= 3
        assert case == next(cases(index, 3, kb, (1, 3)))


def test_drills_of_figures_are_made_of_the_operations_of_a_working_and_give_what_cannot_be_known(
    kb: KnowledgeBase,
) -> None:
    for index in range(50):
        reckoning = make_arithmetic_task(index, 1)
        text = "".join(segment.text for segment in reckoning)
        for taken, of, result, _, _ in _TAKEN.findall(text):
            assert worth(result) == (worth(of) - worth(taken)) % 10**WIDTH
        assert all(
            re.fullmatch(r"\d{7}[+0-]?(\d{7} \d+)?\n?", segment.text)
            for segment in reckoning
            if segment.learned
        )
        guesses = [
            segment.text for segment in make_quotient_digit_task(index, 1) if segment.learned
        ]
        assert all(re.fullmatch(r"\dx| \d{1,3}\.\d\d\n", guess) for guess in guesses)
