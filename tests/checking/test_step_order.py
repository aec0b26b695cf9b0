"""Step numbers and words of an order, a condition or a rank, compared with the plan.

The plan of Monday's first fail is: 1 chase DTC-0161 for 12,000 shares, 2 apply 8,000 from the box,
3 deliver the partial; then recall 5,000, borrow 3,000, escalate 4,000.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.waterfall import resolve
from tests.support.sentences import Stage2, first_of_monday

CONTRADICTED, UNJUDGED = ["text.contradicted"], ["text.unverifiable"]


@pytest.fixture(scope="module")
def monday(kb: KnowledgeBase) -> Stage2:
    return first_of_monday(kb)[1]


@pytest.fixture(scope="module")
def of_two(monday: Stage2, kb: KnowledgeBase) -> Stage2:
    """Return a plan with a second receive: 4,000 shares of DTC-0015, which is 1 day old."""
    [receive] = monday.case.ftrs
    other = replace(receive, dtc="DTC-0015", qty=4_000, age_days=1)
    both = replace(monday.case, ftrs=(receive, other))
    plan = resolve(both, kb)
    assert [step.dtc for step in plan.resolution_steps][:2] == ["DTC-0161", "DTC-0015"]
    return Stage2(both, plan)


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("Step 1: chase DTC-0161. Step 2: apply the box.", []),
        ("Step 1 is the chase of DTC-0161, step 2 the box.", []),
        ("1. Chase DTC-0161. 2. Apply 8,000 shares from the box.", []),
        ("Step 2: chase DTC-0161 for 12,000 shares.", UNJUDGED),
        ("Step 1: apply 8,000 shares from the box.", UNJUDGED),
        ("The box is step 1.", UNJUDGED),
        ("Step 7: apply 8,000 shares from the box.", UNJUDGED),
        ("Step 2: apply the box. Step 1: chase DTC-0161.", CONTRADICTED),
        ("1. Apply 8,000 shares from the box. 2. Chase DTC-0161.", UNJUDGED),
        ("Step 1: chase DTC-0352.", CONTRADICTED),
    ],
)
def test_step_number_is_that_of_the_plan(
    narrative: str, rules: list[str], monday: Stage2, kb: KnowledgeBase
) -> None:
    """A step has the number that the plan gives it, and the numbers of a list rise."""
    assert [each.rule for each in monday.find("narrative", narrative, kb)] == rules


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("First chase DTC-0161, then apply the box.", []),
        ("Chase DTC-0161 first.", []),
        ("Finally escalate the 4,000 shares.", []),
        ("After the chase, apply the box.", []),
        ("First apply the box, then chase DTC-0161.", CONTRADICTED),
        ("Borrow 3,000 shares, then recall 5,000.", UNJUDGED),
        ("Apply the box first.", UNJUDGED),
        ("Finally apply the box.", UNJUDGED),
        ("Chase DTC-0161 last.", UNJUDGED),
        ("After the box, chase DTC-0161.", UNJUDGED),
        ("Chase DTC-0161 before the box is applied.", UNJUDGED),
        ("The second step is the recall.", UNJUDGED),
    ],
)
def test_words_of_an_order_agree_with_the_plan(
    narrative: str, rules: list[str], monday: Stage2, kb: KnowledgeBase
) -> None:
    """First, then, after and finally are those of the plan; other words of an order are a doubt."""
    assert [each.rule for each in monday.find("narrative", narrative, kb)] == rules


@pytest.mark.parametrize(
    "narrative",
    [
        "Recall 5,000 shares only if the chase of DTC-0161 fails.",
        "Borrow 3,000 shares unless the recall works.",
        "Recall 5,000 or borrow 3,000 shares.",
        "Most of the shares come from the recall.",
    ],
)
def test_open_steps_are_a_doubt(narrative: str, monday: Stage2, kb: KnowledgeBase) -> None:
    """A step of the plan depends on nothing, is not one of two, and is compared by its shares."""
    assert [each.rule for each in monday.find("narrative", narrative, kb)] == UNJUDGED


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("Chase DTC-0161, the largest receive, for 12,000 shares.", []),
        ("Chase DTC-0161, the oldest receive.", []),
        ("Chase DTC-0015, the oldest receive.", UNJUDGED),
        ("Chase DTC-0015, the largest receive, for 4,000 shares.", UNJUDGED),
        ("Chase DTC-0161, then DTC-0015.", []),
        ("First chase DTC-0015, then DTC-0161.", CONTRADICTED),
        ("Chase DTC-0015 first.", UNJUDGED),
    ],
)
def test_order_and_rank_of_participants(
    narrative: str, rules: list[str], of_two: Stage2, kb: KnowledgeBase
) -> None:
    """The participants have the order of the plan, and the rank of their receives."""
    assert [each.rule for each in of_two.find("narrative", narrative, kb)] == rules


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("Chase DTC-0161 for 12,000 shares; chase DTC-0161 for 4,000 shares.", []),
        ("Chase DTC-0161 for 16,000 shares.", []),
        ("Chase DTC-0161 for 12,000 shares; chase DTC-0161 for 16,000 shares.", UNJUDGED),
        ("Chase DTC-0161 for 12,000 shares; chase DTC-0161 for 12,000 shares.", UNJUDGED),
    ],
)
def test_receives_of_one_participant_count_once(
    narrative: str, rules: list[str], monday: Stage2, kb: KnowledgeBase
) -> None:
    """A text tells the receives of a participant one by one, or their sum, and none twice."""
    [receive] = monday.case.ftrs
    both = replace(monday.case, ftrs=(receive, replace(receive, qty=4_000, age_days=1)))
    plan = resolve(both, kb)
    assert [step.qty for step in plan.resolution_steps][:2] == [12_000, 4_000]
    found = Stage2(both, plan).find("narrative", narrative, kb)
    assert [each.rule for each in found] == rules


@pytest.fixture(scope="module")
def of_five(monday: Stage2, kb: KnowledgeBase) -> Stage2:
    """Return a plan with five receives, of 1,000 to 5,000 shares."""
    [receive] = monday.case.ftrs
    ftrs = tuple(
        replace(receive, dtc=f"DTC-000{number}", qty=number * 1_000) for number in range(1, 6)
    )
    case = replace(monday.case, ftrs=ftrs)
    return Stage2(case, resolve(case, kb))


@pytest.mark.parametrize(
    ("rest", "rules"),
    [
        ("2 more receipts for 3,000 shares", []),
        ("3 more receipts for 3,000 shares", UNJUDGED),
        ("2,000 more receipts for 3,000 shares", CONTRADICTED),
        ("2 more receipts for 2,000 shares", UNJUDGED),
        ("2 more receipts for 15,000 shares", UNJUDGED),
    ],
)
def test_further_receives_are_those_not_named(
    rest: str, rules: list[str], of_five: Stage2, kb: KnowledgeBase
) -> None:
    """Behind three named receives, the others have the number and the shares of the rest."""
    told = [step for step in of_five.plan.resolution_steps if step.action == "CHASE_FTR"][:3]
    assert sum(step.qty for step in told) == 12_000
    named = "; ".join(f"chase {step.dtc} for {step.qty:,} shares" for step in told)
    found = of_five.find("narrative", f"{named.capitalize().replace('dtc', 'DTC')}; {rest}.", kb)
    assert [each.rule for each in found] == rules
