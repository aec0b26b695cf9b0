"""Check everything in an output line of a run that its rules do not decide."""

from __future__ import annotations

from typing import Any

from finops_cli.checking.line_shape import check_shape
from finops_cli.checking.provenance import check_provenance
from finops_cli.checking.rejections import check_message
from finops_cli.checking.run_lines import check_command, check_run_line, check_status
from finops_cli.domain.finding import Finding
from finops_cli.kb.rulebook import KnowledgeBase


def check_form(given: dict[str, Any]) -> list[Finding]:
    """List the faults of a line that leave nothing else to compare."""
    return check_run_line(given) or check_shape(given) or check_command(given)


def check_statements(given: dict[str, Any], kb: KnowledgeBase) -> list[Finding]:
    """Compare the status, the findings and the provenance of a line with each other."""
    return [*check_status(given), *check_message(given), *check_provenance(given, kb)]
