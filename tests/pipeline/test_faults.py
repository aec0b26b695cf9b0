"""A fault of the program: one line of output, and no lost neighbour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finops_cli.checking.outputs import check_lines
from finops_cli.domain.fault import INTERNAL
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.records import a_fail, jsonl, rows

FAULTY, MARK = "finops_cli.rules.triage", 4_242
PLANTED = f"""
import sys
from finops_cli.rules import {{module}} as planted
right = planted.{{function}}
def faulty(given, *more, **named):
    if getattr(given, "qty", getattr(given, "ftd_qty", 0)) == {MARK}:
        raise {{error}}("account 123-45-6789")
    return right(given, *more, **named)
planted.{{function}} = faulty
from finops_cli.cli import main
main()
"""
STOCK = {
    "box_qty": 500,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 0,
}
LINES = jsonl(
    a_fail(inventory=STOCK),
    a_fail(fail_id="F-2", qty=MARK, cns_position=-MARK, inventory=STOCK),
    a_fail(fail_id="F-3", inventory=STOCK),
)


def call(module: str, function: str, error: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run finops with a fault planted into a function of the rules."""
    program = PLANTED.format(module=module, function=function, error=error)
    return subprocess.run(
        [sys.executable, "-c", program, *words], input=LINES, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "module", "function"),
    [("triage", "triage", "triage_alike"), ("run", "waterfall", "resolve")],
)
def test_fault_of_one_record_is_its_line(command: str, module: str, function: str) -> None:
    """The record that raises an exception is a failed line, and its neighbours are answered. The
    line names the type and the place of the exception, never its text.
    """
    done = call(module, function, "ZeroDivisionError", command, "-", "--no-timing", "-q")
    assert done.returncode == 1
    lines = rows(done.stdout)
    assert [(each["fail_id"], each["status"]) for each in lines] == [
        ("F-1", "ok"),
        ("F-2", "failed"),
        ("F-3", "ok"),
    ]
    [finding] = lines[1]["verification"]["triage"]
    assert (finding["rule"], finding["actual"]) == (INTERNAL, "ZeroDivisionError")
    assert "please report it as a bug" in finding["message"]
    assert b"123-45-6789" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_fault_in_check_is_a_finding(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line whose check raises an exception has a finding; its neighbours have their verdicts."""
    from finops_cli.checking import outputs

    right = outputs.check_answers

    def faulty(given: dict[str, object], *more: object, **named: object) -> object:
        if given["fail_id"] == "F-2":
            raise KeyError("x")
        return right(given, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(outputs, "check_answers", faulty)
    pipeline = Pipeline(SEQUENCES["run"], Engine(kb), kb, timed=False)
    given = [a_fail(fail_id=f"F-{number}") for number in (1, 2, 3)]
    lines = [
        pipeline.process(number, jsonl(each).strip()) for number, each in enumerate(given, start=1)
    ]
    from finops_cli.pipeline.output import encode

    verdicts = list(check_lines([encode(each.line) for each in lines], kb))
    assert [verdict.ok for verdict in verdicts] == [True, False, True]
    assert [finding.rule for finding in verdicts[1].findings] == [INTERNAL]


@pytest.mark.parametrize(("error", "status"), [("MemoryError", 2), ("KeyboardInterrupt", 130)])
def test_end_of_a_run_is_not_a_fault_of_a_record(error: str, status: int) -> None:
    """No memory, and Ctrl-C, end a run: they are never the line of a record."""
    done = call("triage", "triage_alike", error, "triage", "-", "-q")
    assert done.returncode == status
    assert b'"failed"' not in done.stdout
    assert b"Traceback" not in done.stderr


def test_crash_outside_a_record_ends_with_70(tmp_path: Path) -> None:
    """A fault outside any record ends with 70, one message and a report beside the output that only
    its owner can read.
    """
    program = (
        "import finops_cli.pipeline.run as planted\n"
        "def faulty(*more, **named): raise ZeroDivisionError('secret')\n"
        "planted.compare_each = faulty\n"
        "from finops_cli.cli import main\nmain()\n"
    )
    out = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", program, "triage", "-", "-q", "-o", str(out)],
        input=LINES,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 70
    assert b"Traceback" not in done.stderr
    assert b"secret" not in done.stderr
    assert b"finops has a fault: ZeroDivisionError" in done.stderr
    report = tmp_path / "finops-fault.txt"
    assert "ZeroDivisionError: secret" in report.read_text()
    if os.name == "posix":
        assert report.stat().st_mode & 0o077 == 0
