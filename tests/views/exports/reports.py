"""Reports of lines, for the tests of the files for people."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.views.answer_index import AnswerIndex
from finops_cli.views.changes import Changes
from finops_cli.views.exports.kept_notes import KeptNotes
from finops_cli.views.exports.report import Report
from finops_cli.views.exports.workbook import LIST_COLUMNS, write_workbook
from tests.views.test_answer_index import line

STEP = {
    "step": 1,
    "action": "CHASE_FTR",
    "dtc": "DTC-0161",
    "qty": 300,
    "rationale": "Aged 3d, 300 shares",
    "coverage_after_step_pct": 60.0,
    "remaining_short": 200,
}
PLAN = {
    "resolution_steps": [STEP],
    "fallback_strategy": "INITIATE_RECALL",
    "fallback_qty": 150,
    "secondary_fallback": "NONE",
    "secondary_fallback_qty": 0,
    "total_coverable": 450,
    "residual_short": 50,
    "residual_action": "ESCALATE",
    "escalation_reason": "Residual 50 of 500 shares has no source",
    "narrative": "Chase DTC-0161 for 300 shares.",
}


def planned_line(name: str = "F-1", **changes: Any) -> bytes:
    """An output line with a plan; `changes` as for `line`, or of the plan."""
    plan = {key: changes.pop(key, value) for key, value in PLAN.items()}
    return line(name, resolution=plan, **changes)


def change_steps(given: bytes, **changes: Any) -> bytes:
    """Return the line with another first step."""
    read = json.loads(given)
    read["resolution"]["resolution_steps"] = [{**STEP, **changes}]
    return json.dumps(read).encode()


@contextmanager
def report_of(
    lines: Sequence[bytes], earlier: Sequence[bytes] | None = None, **options: Any
) -> Iterator[Report]:
    """Give the report of output lines, with the changes since `earlier` ones."""
    kb = load_kb(bundled_kb_dir())
    with ExitStack() as stack:
        index = stack.enter_context(closing(AnswerIndex(lines, has_details=True)))
        changes = None
        if earlier is not None:
            changes = Changes(index, stack.enter_context(closing(AnswerIndex(earlier))))
        options.setdefault("columns", LIST_COLUMNS)
        yield Report(index=index, kb=kb.entries, kb_version=kb.version, changes=changes, **options)


def workbook_of(
    lines: Sequence[bytes],
    earlier: Sequence[bytes] | None = None,
    kept: KeptNotes | None = None,
    max_rows: int | None = None,
    **options: Any,
) -> bytes:
    """Return the bytes of the workbook of output lines."""
    out = io.BytesIO()
    limits = {} if max_rows is None else {"max_rows": max_rows}
    with report_of(lines, earlier, **options) as report:
        write_workbook(report, out, kept, **limits)
    return out.getvalue()
