"""Masks personal data in the lines of an upload, before they are stored.

The values of a record that its rules accept stay as they are; free text, names, unknown fields and
values that no rule accepts are read by the guard.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from typing import Any

from finops_cli.domain import exact_json, limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.guard.placeholders import PLACEHOLDER
from finops_cli.guard.records import Mask
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import decode, parse_case, parse_fail
from finops_cli.pipeline.redaction import RedactionPolicy

_TEXTS = frozenset(
    {
        *("text", "notes", "dk_reason", "symbol", "counterparty_name", "origin"),
        *("sale_type_evidence", "reason", "rule", "narrative", "rationale", "escalation_reason"),
        *("message", "value", "accepted", "expected", "actual", "raw", "evidence"),
    }
)
"""Fields with free text, in records and in output lines."""
_REFERENCES = frozenset({"fail_id", "id", "to", "request_id"})
"""Fields with names: only what its own form proves is masked in them."""
KNOWN_NAMES = frozenset({*FailRecord.__struct_fields__, *ResolverInput.__struct_fields__})
"""The fields of records and cases. The guard masks no part of them, so it need not read them."""
_FIELDS_OF_TEXTS = frozenset({"id", "text", "expected", "label"})
_PLAIN_CELL = re.compile(r"[\s$()+\-.,:/%0-9]*")
"""A cell with a number, a sum, a day or a time."""
_LONG = PLACEHOLDER.encode().ljust(limits.LINE_BYTES + 1, b".")
"""Stands for a line over the limit of a line: it is rejected for its length, as it would be."""


def mask_line(policy: RedactionPolicy, line: bytes, kb: KnowledgeBase) -> bytes:
    """Return a line without its newline, masked; unchanged bytes where nothing was found."""
    if len(line) > limits.LINE_BYTES:
        return _LONG
    if not line.strip():
        return line
    mask = policy.open_mask()
    given = decode(line)
    if isinstance(given, Problem) or _has_repeated_name(line):
        masked = _mask_text(mask, line.decode("utf-8", "replace"))
        return masked.encode() if mask.found else line
    result = _mask_object(mask, given, kb) if isinstance(given, dict) else mask.anything(given)
    return exact_json.encode(result) if mask.found else line


def _mask_object(mask: Mask, given: dict[str, Any], kb: KnowledgeBase) -> dict[str, Any]:
    faulty = _faulty_fields(given, kb)
    masked = {
        name if name in KNOWN_NAMES else mask.some(name): mask.anything(value, name)
        if name in faulty
        else _mask_known(mask, value, name)
        for name, value in given.items()
    }
    if set(given) == {"text"} and mask.found and not _is_same_fail(given, masked):
        return {"text": mask.reference(given["text"])}
    return masked


def _is_same_fail(given: dict[str, Any], masked: dict[str, Any]) -> bool:
    """Return true unless masking changed the facts of a record that is written as a text."""
    fail = parse_fail(given).value
    return fail is None or parse_fail(masked).value == fail


def _faulty_fields(given: dict[str, Any], kb: KnowledgeBase) -> frozenset[str]:
    """Return the fields of a record or a case that are unknown or hold no accepted value."""
    if "provenance" in given:  # an output line
        return frozenset()
    if "text" in given and "cusip" not in given:
        return frozenset(given) - _FIELDS_OF_TEXTS
    problems = (parse_case(given, kb) if "triage" in given else parse_fail(given)).problems
    paths = {each.path.split("/")[1] for each in problems if "/" in each.path}
    return frozenset(name for name in given if _show(name) in paths)


def _show(name: str) -> str:
    return name[: limits.SHOWN_CHARS]


def _mask_known(mask: Mask, value: Any, name: str) -> Any:
    if isinstance(value, str):
        if name in _REFERENCES:
            return mask.reference(value)
        return mask.text(value) if name in _TEXTS else value
    if isinstance(value, dict):
        return {each: _mask_known(mask, inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_mask_known(mask, inner, name) for inner in value]
    return value


def _has_repeated_name(line: bytes) -> bool:
    """Return true for an object with a name twice: only the last value would be looked at."""
    found = False

    def look(pairs: Sequence[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in pairs}) < len(pairs)

    try:
        json.loads(line, object_pairs_hook=look, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):  # another reader than that of the pipeline
        return True
    return found


def _mask_text(mask: Mask, line: str) -> str:
    """Mask a line that is not JSON: the cells of a row, or a text."""
    if "," not in line or line.count('"') % 2 or "{" in line:
        return mask.some(line)
    end = "\r" if line.endswith("\r") else ""
    [cells] = csv.reader([line.removesuffix("\r")]) if line.strip() else [[]]
    masked = [_mask_cell(mask, cell) for cell in cells]
    if not mask.found:
        return line
    return ",".join(_quote(cell) for cell in masked) + end


def _mask_cell(mask: Mask, cell: str) -> str:
    if not cell:
        return cell
    if _PLAIN_CELL.fullmatch(cell):
        return mask.reference(cell) or ""
    return mask.some(cell)


def _quote(cell: str) -> str:
    if any(sign in cell for sign in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
