"""The statistics of evaluations, compared with published values and second methods."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.evaluation.stats import (
    chance_of_more,
    holm,
    paired_interval,
    percentile,
    proportion,
    sign_test,
    wilson,
)
from finops_cli.monitoring.divergence import divergence
from finops_cli.monitoring.latencies import percentile_ms, step_of

Z = Decimal("1.959964")
HALF = Decimal("0.5")


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 10, "0", "0.2775"),
        (10, 10, "0.7225", "1"),
        (81, 263, "0.2553", "0.3662"),
        (15, 148, "0.0624", "0.1605"),
    ],
)
def test_wilson_interval_equals_published_values(count: int, of: int, low: str, high: str) -> None:
    """The last two rows are from Newcombe (1998), Statistics in Medicine 17:857, table I,
    method 3.
    """
    found = [end.quantize(Decimal("0.0001")) for end in wilson(count, of, Z)]
    assert found == [Decimal(low), Decimal(high)]


def test_proportion_of_zero_records_has_no_percentage() -> None:
    """A proportion of zero records has no percentage and no interval."""
    assert proportion(0, 0, Z).pct is proportion(0, 0, Z).low_pct is None


@pytest.mark.parametrize(("first", "second"), list(product(range(7), range(7))))
def test_sign_test_equals_the_count_of_all_outcomes(first: int, second: int) -> None:
    """The sign test equals the proportion of all coin sequences that are at least as uneven."""
    n, uneven = first + second, abs(first - second)
    outcomes = list(product((0, 1), repeat=n))
    assert sign_test(first, second) == Fraction(
        sum(abs(2 * sum(coins) - n) >= uneven for coins in outcomes), len(outcomes)
    )


def test_sign_test_of_large_counts_is_exact() -> None:
    """Ten against two is 158/4096, and 3,000 against none is 2/2**3000."""
    assert sign_test(10, 2) == Fraction(2 * (1 + 12 + 66), 2**12)
    assert sign_test(0, 3000) == Fraction(1, 2**2999)


def test_group_chance_equals_the_count_of_all_deals() -> None:
    """The chance that a random group has so many wrong answers equals the count over all groups of
    that size.
    """
    deals = [sum(card < 3 for card in deal) for deal in combinations(range(10), 4)]
    assert_close(
        chance_of_more(2, 4, 3, 10), Fraction(sum(wrong >= 2 for wrong in deals), len(deals))
    )
    assert_close(chance_of_more(0, 4, 3, 10), Fraction(1))
    assert_close(
        chance_of_more(4, 4, 9, 10),
        Fraction(sum(9 not in deal for deal in combinations(range(10), 4)), 210),
    )


def assert_close(found: Decimal, exact: Fraction) -> None:
    """Assert that both values agree to 40 digits."""
    assert abs(Fraction(found) / exact - 1) < Fraction(1, 10**40)


@given(st.data())
def test_group_chance_equals_the_sum_of_binomials(data: st.DataObject) -> None:
    """The chance equals the exact sum over all possible groups, for any totals."""
    of_all = data.draw(st.integers(1, 400))
    of, marked_in_all = data.draw(st.integers(1, of_all)), data.draw(st.integers(0, of_all))
    most = min(of, marked_in_all)
    marked = data.draw(st.integers(max(0, of + marked_in_all - of_all), most))
    deals = [
        math.comb(marked_in_all, k) * math.comb(of_all - marked_in_all, of - k)
        for k in range(marked, most + 1)
    ]
    assert_close(
        chance_of_more(marked, of, marked_in_all, of_all),
        Fraction(sum(deals), math.comb(of_all, of)),
    )


def test_group_chance_of_200_000_records_is_symmetric() -> None:
    """With half of 200,000 records marked and half drawn, 50,000 or more marked are as likely as
    50,000 or fewer.
    """
    half, quarter = 100_000, 50_000
    at_least, more = (
        chance_of_more(marked, half, half, 2 * half) for marked in (quarter, quarter + 1)
    )
    assert abs(at_least + more - 1) < Decimal(10) ** -27
    assert 0 < chance_of_more(half, half, half, 2 * half) < Decimal(10) ** -60_000


def test_holm_correction_multiplies_and_never_decreases() -> None:
    """Holm's correction gives 0.01 x 3 and 0.02 x 2, never decreases and never exceeds 1."""
    raw = {"a": Fraction(2, 100), "b": Fraction(1, 100), "c": Fraction(9, 10)}
    assert holm(raw) == {"a": Fraction(4, 100), "b": Fraction(3, 100), "c": Fraction(9, 10)}


def test_paired_interval_equals_the_hand_calculation() -> None:
    """For 40 against 20 of 200 the difference is 10 points, and the interval equals a calculation
    by hand.
    """
    difference, low, high = paired_interval(40, 20, 200, Z)
    spread = float(Z) * math.sqrt(61 - 20**2 / 202) / 202
    assert difference == Decimal("0.1")
    assert float(low) == pytest.approx(20 / 202 - spread)
    assert float(high) == pytest.approx(20 / 202 + spread)


def test_divergence_equals_the_hand_calculation() -> None:
    """The divergence with half a record added to each value equals a calculation by hand, and is 0
    for equal distributions.
    """
    found = divergence(Counter(a=3, b=1), Counter(a=5, b=5), HALF)
    assert float(found) == pytest.approx(
        0.7 * math.log(0.7 / 0.5) + 0.3 * math.log(0.3 / 0.5), abs=1e-6
    )
    assert divergence(Counter(a=7), Counter(a=70), HALF) == 0
    assert divergence(Counter(new=9), Counter(a=9), HALF).is_finite()


def test_percentile_is_nearest_rank_and_histogram_agrees() -> None:
    """Percentiles use the nearest rank. The histogram gives them within 1 %, and no values give
    None.
    """
    values = [Decimal(n) for n in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert percentile([Decimal(3)], 99) == 3
    steps = Counter(step_of(float(value)) for value in values)
    assert [percentile_ms(steps, p) for p in (50, 95, 99)] == pytest.approx([50, 95, 99], rel=0.01)
    assert percentile_ms(Counter(), 50) is None
