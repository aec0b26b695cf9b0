"""Check why a line says that its record was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from finops_cli.checking.alignment import AskedRecord
from finops_cli.checking.run_lines import has_masks
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage, Finding, Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.pipeline.output import rejection
from finops_cli.pipeline.parse import ParseResult
from finops_cli.verify.schemas import show_value


def check_message(given: dict[str, Any]) -> list[Finding]:
    """Compare the message of a rejection with its problems, which have the right shape."""
    error = given.get("error")
    if not isinstance(error, dict):
        return []
    problems = [Problem(**each) for each in error["problems"]]
    expected = rejection(error["line"], problems, error.get("file", UNSET)).message
    if error["message"] == expected and problems:
        return []
    wanted = expected if problems else "at least one problem"
    return [_finding("/error/message", wanted, error["message"])]


def check_rejection(
    given: dict[str, Any],
    asked: AskedRecord,
    parsed: ParseResult[FailRecord] | ParseResult[ResolverInput],
) -> list[Finding]:
    """Compare the problems of a rejected line with those of its record.

    With placeholders of the guard in the line, only the rules are compared.
    """
    error, line = given["error"], asked.line
    problems: Sequence[Problem] = line.problems if isinstance(line, Damage) else parsed.problems
    parts = ("rule",) if has_masks(given) else Problem.__struct_fields__
    expected = [tuple(getattr(each, part) for part in parts) for each in problems]
    stated = [tuple(each.get(part) for part in parts) for each in error["problems"]]
    found = []
    if sorted(expected) != sorted(stated):
        wanted = ", ".join(f"{each.rule} at {each.path}" for each in problems)
        got = ", ".join(f"{each['rule']} at {each['path']}" for each in error["problems"])
        found.append(_finding("/error/problems", wanted, got))
    if "file" not in error and error["line"] not in _places(asked):
        found.append(_finding("/error/line", str(_places(asked)[0]), error["line"]))
    return found


def _places(asked: AskedRecord) -> list[int]:
    """Return the line of the input, and the row of the file of which an importer made it."""
    if isinstance(asked.line, Damage):
        return [asked.line.line]
    origin = asked.record.get("origin") if isinstance(asked.record, dict) else None
    row = origin.get("line") if isinstance(origin, dict) else None
    return [asked.number, *([row] if isinstance(row, int) else [])]


def _finding(path: str, expected: str, actual: Any) -> Finding:
    shown = show_value(actual)
    return Finding(
        rule="check.status",
        path=path,
        expected=expected,
        actual=shown,
        message=f"{path[1:]} is {shown}; the record gives {expected}",
    )
