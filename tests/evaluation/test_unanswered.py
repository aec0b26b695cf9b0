"""A model that says nothing: silence is told beside the criticals, and the groups of records that
it falls on are singled out.
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
from tests.support.evaluations import an_outcome, evaluated
from tests.support.text_models import ScriptedModel, right


def without_answers(
    folder: Path, kb: KnowledgeBase, applies: Callable[[dict[str, Any]], bool]
) -> Evaluation:
    """The evaluation of a model that is right, and says nothing of use where the answer would be
    such.
    """

    def says(ask: CompletionRequest, _: int) -> str:
        said = right(ask, kb)
        return "I would rather not." if applies(json.loads(said)) else said

    return evaluated(folder, kb, VerifiedBackend(ScriptedModel(says), kb, "reject"), rows=120)


def is_critical(answer: dict[str, Any]) -> bool:
    return bool(answer["priority_tier"] == "CRITICAL")


def card_of(text: str, name: str) -> str:
    """The card of that name, whether it is alarming, its figure and its note."""
    found = re.search(
        rf'<div class="card([^"]*)">{name}<b>(.*?)</b><span class=soft>(.*?)</span>', text
    )
    assert found is not None
    return " | ".join(found.groups())


def test_silence_about_criticals_is_told_with_the_missed_ones(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """None missed, for none was answered: that is no good news, neither in the terminal nor on the
    card of the page.
    """
    evaluation = without_answers(tmp_path / "ev", kb, is_critical)
    c = evaluation.metrics.criticals if evaluation.metrics else None
    assert c is not None
    assert (c.missed.of, c.unanswered > 10) == (0, True)
    rows = evaluation_text(evaluation).splitlines()
    place = rows.index("missed criticals   none to count")
    assert rows[place + 1].strip() == f"{c.unanswered} criticals have no answer"
    assert (
        card_of(page(evaluation), "missed criticals")
        == f" alarm | 0 of 0 | none to count; {c.unanswered} criticals have no answer"
    )


def test_one_silent_critical_is_one_and_none_is_not_told(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The words agree with the number, and where every critical is answered nothing is said and
    nothing is coloured.
    """
    asked: list[bool] = []

    def first_critical(answer: dict[str, Any]) -> bool:
        asked.append(is_critical(answer))
        return asked[-1] and asked.count(True) == 1

    one = without_answers(tmp_path / "one", kb, first_critical)
    assert "1 critical has no answer" in evaluation_text(one)
    assert card_of(page(one), "missed criticals").startswith(" alarm | 0 of ")
    none = without_answers(tmp_path / "none", kb, lambda _: False)
    assert "no answer\n" not in evaluation_text(none)
    assert card_of(page(none), "missed criticals").startswith(" | 0 of ")


def test_a_group_that_is_never_answered_is_singled_out(tmp_path: Path, kb: KnowledgeBase) -> None:
    """All answers that came are right, and still the terminal and the page name the group first,
    with what is missing.
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
    rows = evaluation_text(evaluation).splitlines()
    place = next(place for place, row in enumerate(rows) if row.endswith("tier: CRITICAL"))
    assert [row.strip() for row in rows[place + 1 : place + 3]] == [
        "right none to count",
        f"{worst.unanswered} no answer",
    ]
    where = page(evaluation).partition("Where it is worse")[2].partition("<h2>")[0]
    assert re.search(
        rf"tier: CRITICAL</text><text[^>]*>none to count; {worst.unanswered} no answer<", where
    )


def count_of(told: list[tuple[str, First]], kb: KnowledgeBase) -> GroupCounts:
    """The count of records that are given as group and first answer."""
    count = GroupCounts(kb.evaluation)
    for group, first in told:
        count.add(an_outcome((("size", group),), first), [])
    return count


@pytest.mark.parametrize("first", ["wrong", "none"])
@pytest.mark.parametrize(("rights", "flagged"), [(5, False), (6, True)])
def test_both_tests_of_every_group_are_corrected_for(
    first: First, rights: int, flagged: bool, kb: KnowledgeBase
) -> None:
    """All five of a small group, one of a large one, the rest right: 6/462 with 5 right ones, times
    2 groups and 2 tests 0.052; then 6/792.
    """
    told: list[tuple[str, First]] = [
        *[("small", first)] * 5,
        ("large", first),
        *[("large", "right")] * rights,
    ]
    small = next(stratum for stratum in count_of(told, kb).groups() if stratum.group == "small")
    assert (small.flagged, small.flagged_unanswered) == (flagged, flagged and first == "none")


def test_groups_are_listed_by_what_is_right_of_all_that_was_asked(kb: KnowledgeBase) -> None:
    """Groups with few answers or none are not the last, however right these are, and one record
    says less than four.
    """
    told: list[tuple[str, First]] = (
        [("good", "right")] * 9 + [("half", "right")] * 3 + [("half", "wrong")] * 3
    )
    told += (
        [("once", "none")]
        + [("never", "none")] * 4
        + [("rarely", "none")] * 5
        + [("rarely", "right")]
    )
    strata = count_of(told, kb).groups()
    assert not any(stratum.flagged for stratum in strata)
    assert [stratum.group for stratum in strata] == ["never", "rarely", "once", "half", "good"]
