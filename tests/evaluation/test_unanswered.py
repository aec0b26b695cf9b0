"""A model that gives no answer: the reports show missing answers beside the missed criticals and
flag the groups that they affect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finops_cli.evaluation.group_counts import GroupCounts
from finops_cli.evaluation.outcomes import First
from finops_cli.evaluation.reports.html_report import page
from finops_cli.evaluation.reports.text_report import evaluation_text
from finops_cli.evaluation.run import Evaluation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from tests.support.evaluations import make_outcome, run_evaluation
from tests.support.text_models import ScriptedModel, correct_answer


def without_answers(
    folder: Path, kb: KnowledgeBase, applies: Callable[[dict[str, Any]], bool]
) -> Evaluation:
    """Evaluate a model that is correct, except that it gives no answer where `applies` is true."""

    def reply(ask: CompletionRequest, _: int) -> str:
        answer = correct_answer(ask, kb)
        return "I would rather not." if applies(json.loads(answer)) else answer

    return run_evaluation(folder, kb, VerifiedBackend(ScriptedModel(reply), kb, "reject"), rows=120)


def is_critical(answer: dict[str, Any]) -> bool:
    return bool(answer["priority_tier"] == "CRITICAL")


def card_of(text: str, name: str) -> str:
    """The card of that name, whether it is alarming, its figure and its note."""
    found = re.search(
        rf'<div class="card([^"]*)">{name}<b>(.*?)</b><span class=soft>(.*?)</span>', text
    )
    assert found is not None
    return " | ".join(found.groups())


def test_unanswered_criticals_are_reported_beside_the_missed(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """If no CRITICAL fail was answered, both reports say so beside the missed criticals and mark it
    as an alarm.
    """
    evaluation = without_answers(tmp_path / "ev", kb, is_critical)
    c = evaluation.metrics.criticals if evaluation.metrics else None
    assert c is not None
    assert (c.missed.of, c.unanswered > 10) == (0, True)
    rows = evaluation_text(evaluation, kb.evaluation).splitlines()
    place = rows.index("missed criticals   none to count")
    assert rows[place + 1].strip() == f"{c.unanswered} criticals have no answer"
    assert (
        card_of(page(evaluation, kb.evaluation), "missed criticals")
        == f" alarm | 0 of 0 | none to count; {c.unanswered} criticals have no answer"
    )


def test_one_unanswered_critical_is_singular_and_none_absent(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """One unanswered critical is reported in the singular. Without any, nothing is reported and
    nothing is coloured.
    """
    critical_so_far: list[bool] = []

    def first_critical(answer: dict[str, Any]) -> bool:
        critical_so_far.append(is_critical(answer))
        return critical_so_far[-1] and critical_so_far.count(True) == 1

    one = without_answers(tmp_path / "one", kb, first_critical)
    assert "1 critical has no answer" in evaluation_text(one, kb.evaluation)
    assert card_of(page(one, kb.evaluation), "missed criticals").startswith(" alarm | 0 of ")
    none = without_answers(tmp_path / "none", kb, lambda _: False)
    assert "no answer\n" not in evaluation_text(none, kb.evaluation)
    assert card_of(page(none, kb.evaluation), "missed criticals").startswith(" | 0 of ")


def test_unanswered_group_is_flagged_and_listed_first(tmp_path: Path, kb: KnowledgeBase) -> None:
    """A group without any answer is flagged and listed first in both reports, although all given
    answers are right.
    """
    evaluation = without_answers(tmp_path / "ev", kb, is_critical)
    f = evaluation.metrics
    assert f is not None
    worst = next(stratum for stratum in f.strata if stratum.dimension == "tier")
    assert (worst.group, worst.flagged, worst.flagged_unanswered, worst.right.of) == (
        "CRITICAL",
        True,
        True,
        0,
    )
    assert all(stratum.flagged for stratum in f.strata[: f.strata.index(worst)])
    assert not any(stratum.flagged for stratum in f.strata if not stratum.unanswered)
    rows = evaluation_text(evaluation, kb.evaluation).splitlines()
    place = next(place for place, row in enumerate(rows) if row.endswith("tier: CRITICAL"))
    assert [row.strip() for row in rows[place + 1 : place + 3]] == [
        "right none to count",
        f"{worst.unanswered} no answer",
    ]
    where = page(evaluation, kb.evaluation).partition("Where it is worse")[2].partition("<h2>")[0]
    assert re.search(
        rf"tier: CRITICAL</text><text[^>]*>none to count; {worst.unanswered} no answer<", where
    )


def count_groups(outcomes: list[tuple[str, First]], kb: KnowledgeBase) -> GroupCounts:
    """The count of records that are given as group and first answer."""
    count = GroupCounts(kb.evaluation)
    for group, first in outcomes:
        count.add(make_outcome((("size", group),), first), [])
    return count


@pytest.mark.parametrize("first", ["wrong", "none"])
@pytest.mark.parametrize(("rights", "flagged"), [(5, False), (6, True)])
def test_group_flags_are_corrected_for_two_tests_per_group(
    first: First, rights: int, flagged: bool, kb: KnowledgeBase
) -> None:
    """The probability of a group is corrected for the number of groups and for both tests
    of each.
    """
    outcomes: list[tuple[str, First]] = [
        *[("small", first)] * 5,
        ("large", first),
        *[("large", "right")] * rights,
    ]
    small = next(
        stratum for stratum in count_groups(outcomes, kb).groups() if stratum.group == "small"
    )
    assert (small.flagged, small.flagged_unanswered) == (flagged, flagged and first == "none")


def test_groups_are_sorted_by_right_answers_of_all_records(kb: KnowledgeBase) -> None:
    """Groups are sorted by right answers among all their records, and a larger group comes before a
    smaller one.
    """
    outcomes: list[tuple[str, First]] = (
        [("good", "right")] * 9 + [("half", "right")] * 3 + [("half", "wrong")] * 3
    )
    outcomes += (
        [("once", "none")]
        + [("never", "none")] * 4
        + [("rarely", "none")] * 5
        + [("rarely", "right")]
    )
    strata = count_groups(outcomes, kb).groups()
    assert not any(stratum.flagged for stratum in strata)
    assert [stratum.group for stratum in strata] == ["never", "rarely", "once", "half", "good"]
