"""The scratchpad of the tiny resolver: every number in it is correct, and its plan passes the
checker.
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


def number_of(digits: str) -> int:
    """Return the number whose digits are written units first."""
    return int(digits[::-1])


@given(SHARES, SHARES)
def test_scratchpad_difference_has_digits_sign_and_rest(taken: int, of: int) -> None:
    """A difference is written units first with its sign, and a positive one also in normal
    order.
    """
    found = _TAKEN.fullmatch(render_difference(taken, of))
    assert found is not None
    assert (number_of(found[1]), number_of(found[2])) == (taken, of)
    assert number_of(found[3]) == (of - taken) % 10**WIDTH
    assert found[4] == ("-" if of < taken else "0" if of == taken else "+")
    assert found[5] == (f"{of - taken:07d}" if of > taken else None)
    assert render_difference(taken, of).endswith(f" {of - taken}") == (of > taken)
    assert render_difference(taken, of).startswith(render_comparison(taken, of))


@given(SHARES, SHARES)
def test_scratchpad_sum_is_written_units_first(a: int, b: int) -> None:
    """A sum is written with its digits units first."""
    found = _ADDED.fullmatch(render_sum(a, b))
    assert found is not None
    assert number_of(found[3]) == a + b


@given(DIVISIONS)
def test_scratchpad_division_rounds_half_down_to_4_digits(numbers: tuple[int, int]) -> None:
    """A division gives four digits and rounds an exact half down."""
    dividend, divisor = numbers
    quotient, rest = divmod(dividend * 10_000, divisor)
    assert divide(dividend, divisor, 4).quotient == quotient + (2 * rest > divisor)


@given(DIVISIONS)
def test_scratchpad_division_steps_use_the_multiples_table(
    numbers: tuple[int, int],
) -> None:
    """Each step of a division subtracts a row of the table of multiples, and no guessed digit is
    too small.
    """
    dividend, divisor = numbers
    rows = dict(re.findall(r"(\d)x(\d{7})", render_multiples(divisor))) | {"0": units_first(0)}
    opening, _, blocks = divide(dividend, divisor, 4).working.partition("+")
    assert opening == f"={units_first(dividend)}"
    rest = dividend
    for place, digit, kind, row, result, sign in _BLOCK.findall(blocks):
        rest = rest * 10 - number_of(row) if kind == "x" else rest + divisor
        assert row == (rows[digit] if kind == "x" else units_first(divisor))
        assert number_of(result) == rest % 10**WIDTH
        assert sign == ("-" if rest < 0 else "0" if rest == 0 else "+")
        assert rest < divisor or place == "e"


def test_scratchpad_number_that_does_not_fit_is_refused() -> None:
    """A number with too many digits and a quotient of one or more raise ValueError."""
    with pytest.raises(ValueError, match="does not fit"):
        units_first(MOST + 1)
    with pytest.raises(ValueError, match="less than one"):
        divide(5, 5, 4)


def examples(kb: KnowledgeBase, count: int) -> list[tuple[ResolverInput, Resolution]]:
    generated = [make_case(index, 4, kb, 3 if index % 2 else None) for index in range(count)]
    return [(case, make_short_plan(case, kb)) for case in generated]


@pytest.mark.slow
def test_short_plan_passes_its_check(kb: KnowledgeBase) -> None:
    """The short plan of every generated case passes the check of its task."""
    for case, plan in examples(kb, 300):
        assert resolver_task(case, kb).check(plan) == []


def test_scratchpad_of_a_plan_has_correct_operations(kb: KnowledgeBase) -> None:
    """Every sum and difference in the scratchpad of a plan is correct."""
    for case, plan in examples(kb, 300):
        text = render_resolver_scratchpad(case, plan, kb)
        for taken, of, result, _, _ in _TAKEN.findall(text):
            assert number_of(result) == (number_of(of) - number_of(taken)) % 10**WIDTH
        for a, b, result in _ADDED.findall(text):
            assert number_of(result) == number_of(a) + number_of(b)


def test_scratchpad_of_a_plan_contains_every_plan_number(kb: KnowledgeBase) -> None:
    """The scratchpad contains every number and party that the plan copies."""
    for case, plan in examples(kb, 300):
        text = render_resolver_scratchpad(case, plan, kb)
        for step in plan.resolution_steps:
            if step.qty and step.remaining_short:
                calculation = (
                    rf"\+{step.remaining_short:07d} {step.remaining_short}=\S+"
                    rf" {step.coverage_after_step_pct:.2f} "
                )
                assert re.search(rf"(?m)^{step.step} .*{calculation}", text)
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


def test_scratchpad_quotient_equals_the_coverage(kb: KnowledgeBase) -> None:
    """The quotient of the uncovered shares gives the coverage after each step."""
    for case, plan in examples(kb, 300):
        for step in plan.resolution_steps:
            if step.qty and step.remaining_short:
                uncovered = divide(step.remaining_short, case.ftd_qty, 4).quotient
                assert Decimal(10_000 - uncovered) / 100 == step.coverage_after_step_pct


def test_auxiliary_tasks_are_parts_of_the_full_answer(kb: KnowledgeBase) -> None:
    """The reading task and the resolver task are parts of the full answer to the same input."""
    for index in range(100):
        case = make_case(index, 1, kb, 3)
        row = make_resolver_row(case, kb, "tiny-resolver")
        prompt, reading = make_reading_task(case, kb, "tiny-resolver")
        assert row.completion[0].content.startswith(reading.text)
        assert prompt.text == resolver_prompt(case, "tiny-resolver").text
        assert (
            "".join(piece.text for piece in make_resolver_task(case, kb))
            in row.completion[0].content
        )


def test_case_with_few_receipts_follows_from_seed_and_index(
    kb: KnowledgeBase,
) -> None:
    """A case with a range of receipts has so many, and depends only on seed and index."""
    for index in range(50):
        case = next(cases(index, 3, kb, (1, 3)))
        assert 1 <= len(case.ftrs) <= 3
        assert case == next(cases(index, 3, kb, (1, 3)))


def test_arithmetic_task_learns_only_derivable_numbers(
    kb: KnowledgeBase,
) -> None:
    """Arithmetic and quotient tasks have correct operations, and only numbers that follow from the
    input are learned.
    """
    for index in range(50):
        task = make_arithmetic_task(index, 1)
        text = "".join(segment.text for segment in task)
        for taken, of, result, _, _ in _TAKEN.findall(text):
            assert number_of(result) == (number_of(of) - number_of(taken)) % 10**WIDTH
        assert all(
            re.fullmatch(r"\d{7}[+0-]?(\d{7} \d+)?\n?", segment.text)
            for segment in task
            if segment.learned
        )
        guesses = [
            segment.text for segment in make_quotient_digit_task(index, 1) if segment.learned
        ]
        assert all(re.fullmatch(r"\dx| \d{1,3}\.\d\d\n", guess) for guess in guesses)
