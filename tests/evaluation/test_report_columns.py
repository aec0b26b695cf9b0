"""A new column of the evaluation reports: one row of a table adds it to both reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.evaluation.reports.columns import COLUMNS, Column
from finops_cli.evaluation.reports.html_report import page
from finops_cli.evaluation.reports.text_report import evaluation_text
from finops_cli.evaluation.stats import proportion
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.evaluations import run_evaluation

REPORTS = "finops_cli.evaluation.reports"


def test_new_report_column_is_in_text_and_html(
    monkeypatch: pytest.MonkeyPatch, kb: KnowledgeBase, tmp_path: Path
) -> None:
    """A new row of the table appears in the text and in the HTML report. A column without a value
    appears in neither.
    """
    answered = Column(
        "answered",
        "answered at all",
        lambda metrics, settings: proportion(
            metrics.valid_records - metrics.first_answers["none"],
            metrics.valid_records,
            settings.confidence_z,
        ),
    )
    absent = Column("absent", "absent", lambda metrics, settings: None)
    for module in ("text_report", "html_report"):
        monkeypatch.setattr(f"{REPORTS}.{module}.COLUMNS", [*COLUMNS, answered, absent])
    evaluation = run_evaluation(tmp_path / "ev", kb, Engine(kb), rows=20)
    text, html = evaluation_text(evaluation, kb.evaluation), page(evaluation, kb.evaluation)
    assert "answered           20 of 20, 100.0 %" in text
    assert "answered at all<b>100.0 %</b>" in html
    assert "absent" not in text + html
