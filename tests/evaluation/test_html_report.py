"""The HTML report of an evaluation: it needs no network, shows the metrics of `evaluation.json` and
escapes foreign text.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from finops_cli.evaluation.reports.html_report import page
from finops_cli.evaluation.reports.svg import Bar, bars, matrix
from finops_cli.evaluation.stats import proportion
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from tests.support.evaluations import run_evaluation
from tests.support.text_models import ScriptedModel, correct_answer


def faulty(kb: KnowledgeBase) -> VerifiedBackend:
    """A model that never answers CRITICAL and gives no answer to every ninth record."""

    def reply(ask: CompletionRequest, number: int) -> str:
        def change(answer: dict[str, Any]) -> dict[str, Any]:
            return (
                answer | {"priority_tier": "HIGH"}
                if answer["priority_tier"] == "CRITICAL"
                else answer
            )

        return "<script>alert(1)</script>" if number % 9 == 0 else correct_answer(ask, kb, change)

    return VerifiedBackend(ScriptedModel(reply), kb, "reject")


def test_html_report_is_self_contained_and_worst_first(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The page has no address, script or import. It shows the verdict, the missed criticals and the
    worst groups, in this order.
    """
    evaluation = run_evaluation(tmp_path / "ev", kb, faulty(kb), rows=80)
    text = page(evaluation, kb.evaluation)
    assert not re.search(r"https?:|//[a-z]|<script|@import|url\(|<link|<img", text)
    f = evaluation.metrics
    assert f is not None
    assert f.criticals is not None
    missed = f"{f.criticals.missed.count} of {f.criticals.missed.of}"
    parts = ('class="verdict', "missed criticals", missed, "Where it is worse", "tier: CRITICAL")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert f"{f.first_answers['wrong']} wrong, {f.first_answers['none']} no answer" in text
    for chart in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(re.sub(r"(\s)([a-z-]+)=([a-z]+)(?=[\s>])", r'\1\2="\3"', chart))  # noqa: S314 - our own text


def test_html_report_shows_valid_before_and_after_repair(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The page shows the proportions of valid first answers and of accepted answers side by side,
    of the same records.
    """
    f = (evaluation := run_evaluation(tmp_path / "ev", kb, faulty(kb), rows=40)).metrics
    assert f is not None
    assert f.valid_first_try.of == f.accepted_after_repair.of == 40
    before, after = (
        f"valid at first try<b>{f.valid_first_try.pct:.1f} %</b>",
        f"valid after repair<b>{f.accepted_after_repair.pct:.1f} %</b>",
    )
    text = page(evaluation, kb.evaluation)
    assert text.count("class=soft", text.index(before), text.index(after)) == 1


def test_html_report_draws_12_groups_and_counts_the_rest(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The page draws at most twelve flagged groups and counts the others, with the right singular
    and plural.
    """
    evaluation = run_evaluation(tmp_path / "ev", kb, faulty(kb), rows=80)
    f = evaluation.metrics
    assert f is not None
    worst = next(stratum for stratum in f.strata if stratum.flagged)
    for count, message in (
        (1, "1 group with"),
        (12, "12 groups with"),
        (13, "And 1 more group below"),
        (15, "And 3 more groups below"),
    ):
        text = page(replace(evaluation, metrics=replace(f, strata=[worst] * count)), kb.evaluation)
        where = text.partition("Where it is worse")[2].partition("<h2>")[0]
        assert message in where
        assert ("more group" in where) is (count > 12)
        assert where.count("<rect") == min(count, 12)


def test_html_charts_show_counts_and_escape_names() -> None:
    """A bar is as long as its proportion of 300 points, a matrix shows each count once, and names
    are escaped.
    """
    chart = bars([Bar("<b>half</b>", proportion(5, 10, Decimal("1.96")))], "t")
    assert 'width="150.0"' in chart
    assert "5 of 10, 50.0 %" in chart
    assert "&lt;b&gt;half" in chart
    assert "none to count; &lt;40&gt; no answer<" in bars(
        [Bar("", proportion(0, 0, Decimal("1.96")), "<40> no answer")], "t"
    )
    cells = re.findall(
        r">(\d+)<",
        matrix({"LOW": {"LOW": 41, "HIGH": 7}, "HIGH": {"no answer": 3}}, ("LOW", "HIGH"), "t"),
    )
    assert cells == ["41", "7", "3"]
