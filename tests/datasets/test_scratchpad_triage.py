"""The scratchpad of the tiny triage model: every number in it is correct and follows from the
record.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice

import pytest

from finops_cli.datasets.scratchpad.auxiliary_tasks import make_triage_task
from finops_cli.datasets.scratchpad.triage import render_triage_scratchpad
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain.money import plain, render_usd
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import regulatory_state
from finops_cli.rules.triage import triage

_DRILL = re.compile(
    r"<think>\n[A-Z0-9_]+ [A-Z_]+ position .+\nage \d+ .+\ninventory .+ concentration \d{5}\njoint"
    r" .+\n</think>\n\n",
    re.DOTALL,
)


def number_of(digits: str) -> int:
    return int(digits[::-1])


@pytest.mark.parametrize("profile", ["coverage", "market"])
def test_triage_scratchpad_ends_in_the_score(profile: str, kb: KnowledgeBase) -> None:
    """Each line of the scratchpad follows from the record, and the last one has score, tier and
    state.
    """
    for index in range(400):
        record = next(fails(index, 3, kb, profile))  # type: ignore[arg-type]
        answer = triage(record, kb)
        qty, owed, factors, modifiers, joint, sums, parts, product, end = render_triage_scratchpad(
            record, answer, kb
        ).split("\n")
        c = answer.score_components
        factor_values = (c.age_factor, c.value_factor, c.regulatory_factor, c.cp_history_factor)
        assert qty.endswith(f" {record.qty} of {record.qty:,} shares")
        assert f" of {record.qty:,} shares" in answer.reason
        category, direction, _, position, netted = owed.split()
        assert (category, direction) == (answer.category, record.cns_direction)
        assert position == ("none" if record.cns_position is None else f"{record.cns_position}")
        assert (netted == "offset") is (answer.lifecycle_state == "OFFSET")
        words = factors.split()
        assert tuple(map(Decimal, (words[2], words[6], words[13], words[16]))) == factor_values
        assert words[1] == f"{record.age_days}"
        assert words[4] == render_usd(record.market_value)
        assert 10 ** (int(words[5]) - 1) <= max(record.market_value, 1) < 10 ** int(words[5])
        assert words[8:13] == [
            record.reg_sho_status or "none",
            record.cns_direction,
            record.side,
            "Yes" if record.reg_sho_threshold else "No",
            regulatory_state(record, kb.triage),
        ]
        assert words[15] == f"{plain(record.cp_fail_rate_pct)}%"
        assert Decimal(modifiers.split()[2]) / 100 == c.inventory_modifier
        assert Decimal(modifiers.split()[-1]) / 10_000 == c.concentration_modifier
        assert Decimal(joint.split()[1]) / 10**6 == c.inventory_modifier * c.concentration_modifier
        assert Decimal(sums.split("=")[-1]) / 10 == c.base_score
        for a, b, s in re.findall(r"(?=(\d{4})\+(\d{4})=(\d{4}))", sums):
            assert int(a) + int(b) == int(s)
        digits = (int(c.base_score // 10), int(c.base_score % 10), int(c.base_score * 10 % 10))
        assert list(map(number_of, parts.split())) == [
            digit * int(joint.split()[1]) for digit in digits
        ]
        first, second = map(number_of, product.split())
        assert first == number_of(parts.split()[0]) * 10 + number_of(parts.split()[1])
        assert second == first * 10 + number_of(parts.split()[2])
        before = kb.scoring.tier.of(answer.priority_score)
        assert (
            end
            == f"{answer.priority_score} {before} {answer.priority_tier} {answer.lifecycle_state}"
        )


def test_triage_task_has_the_form_of_the_scratchpad(kb: KnowledgeBase) -> None:
    """An auxiliary task has the form of the scratchpad in an answer."""
    for index in range(200):
        score = "".join(segment.text for segment in make_triage_task(index, 1, kb))
        assert _DRILL.fullmatch(score)


def test_triage_task_depends_on_seed_and_index_only(kb: KnowledgeBase) -> None:
    """An auxiliary task depends only on seed and index, and different indexes give
    different tasks.
    """
    first = [make_triage_task(index, 2, kb) for index in range(20)]
    assert first == [make_triage_task(index, 2, kb) for index in range(20)]
    assert len({str(one) for one in islice(first, 20)}) > 15
