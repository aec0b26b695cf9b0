"""The pages that describe records and output lines, made from their types and `fields.toml`."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from finops_cli.domain.allotment import AllottedShares, BookPlace, InventoryOrigin
from finops_cli.domain.clock import (
    CalendarId,
    CardDeadline,
    Clock,
    CostItem,
    CountedDay,
    Lot,
    Obligation,
    PenaltyBox,
    Right,
    Threshold,
)
from finops_cli.domain.clock_facts import (
    ClockEvent,
    ClockFacts,
    FactLot,
    HistoryRow,
    ThresholdDay,
)
from finops_cli.domain.fail import CorporateAction, FailRecord, Ftr, Inventory, RelatedFail
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.headline import By, FailSummary, Headline
from finops_cli.domain.money import AMOUNT_ACCEPTED, PERCENT_ACCEPTED, Percent, RatePercent, Usd
from finops_cli.domain.resolution import (
    HandoffTriage,
    Resolution,
    ResolverInput,
    Step,
    WeightedContributions,
)
from finops_cli.domain.sentiment import Scores, Sentiment, Tone
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.kb.entries import Terms
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.protocol import AttemptError
from finops_cli.pipeline.clock import ClockProvenance
from finops_cli.pipeline.output import (
    InputPlace,
    Line,
    LineOrigin,
    Provenance,
    Rejection,
    Verification,
)
from finops_cli.verify.codecs import FAIL
from tools.generate_docs.rules import link_ids

OUTPUT: tuple[type[Struct], ...] = (
    Line, FailSummary, Headline, By, LineOrigin, Triage, ScoreComponents, Resolution, Step,
    Verification, Finding, AllottedShares, BookPlace, Tone, Sentiment,
    Scores, Provenance, InputPlace, InventoryOrigin,
    ClockProvenance, AttemptError, Rejection, Problem, Clock, CalendarId, Lot, Obligation,
    CountedDay, PenaltyBox, Threshold, Right, CostItem, CardDeadline,
)  # fmt: skip
RECORDS: tuple[type[Struct], ...] = (
    FailRecord, Inventory, Ftr, RelatedFail, CorporateAction, ResolverInput, HandoffTriage,
    WeightedContributions, ClockFacts, HistoryRow, ThresholdDay, FactLot, ClockEvent,
)  # fmt: skip
MEANINGS: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "fields.toml").read_text()
)
"""For each type, under `about` what it is, and for each field what it means."""

_CUSTOM: dict[type, str] = {
    Usd: AMOUNT_ACCEPTED,
    Percent: PERCENT_ACCEPTED,
    RatePercent: f"{PERCENT_ACCEPTED}, at most 100",
}


def render_output_page() -> str:
    """Render `docs/reference/output.md`."""
    return "\n".join([_OUTPUT_INTRODUCTION, _render_statuses(), *map(_render_type, OUTPUT)])


def render_records_page() -> str:
    """Render `docs/reference/records.md`."""
    return "\n".join([_RECORDS_INTRODUCTION, *map(_render_type, RECORDS)])


def _render_statuses() -> str:
    entry = load_kb(bundled_kb_dir()).entries["enum.status"]
    if not isinstance(entry, Terms):
        raise SystemExit("kb entry enum.status: expected kind terms")
    rows = [f"| `{name}` | {text} |" for name, text in entry.members.items()]
    return "\n".join(["## Statuses", "", "| status | meaning |", "|---|---|", *rows, ""])


def _render_type(kind: type[Struct]) -> str:
    info = inspect.type_info(kind)
    meanings = MEANINGS.get(kind.__name__, {})
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    expected = {"about", *(field.encode_name for field in fields)}
    if set(meanings) != expected:
        wrong = ", ".join(sorted(set(meanings) ^ expected))
        raise SystemExit(f"fields.toml, [{kind.__name__}]: missing or superfluous: {wrong}")
    owner = kind.__name__
    rows = [
        f"| `{field.encode_name}` | {_describe(field.type)}{_describe_default(field, owner)} |"
        f" {link_ids(meanings[field.encode_name], page='rules.md')} |"
        for field in fields
    ]
    about = link_ids(meanings["about"], page="rules.md")
    head = [f"(type.{kind.__name__.lower()})=", f"## {kind.__name__}", "", about, ""]
    return "\n".join([*head, "| field | value | meaning |", "|---|---|---|", *rows, ""])


def _describe_default(field: inspect.Field, owner: str) -> str:
    if field.encode_name in FAIL.may_lack.get(owner, {}):
        return "; may be absent" if owner == "FailRecord" else "; may be absent in a fail record"
    if field.required:
        return ""
    if field.default is NODEFAULT:
        return "; may be absent"
    if field.default in (None, ()):
        return "; optional"
    return f"; optional (default `{str(field.default).lower()}`)"


def _describe(kind: inspect.Type) -> str:
    """Describe a type in the words of someone who writes JSON."""
    match kind:
        case inspect.Metadata():
            note = (kind.extra_json_schema or {}).get("description")
            return f"{_describe(kind.type)} ({note})" if note else _describe(kind.type)
        case inspect.UnionType():
            parts = [part for part in kind.types if not _is_absent(part)]
            is_null = any(isinstance(part, inspect.NoneType) for part in kind.types)
            words = " or ".join(_describe(part) for part in parts)
            return f"{words}, or `null`" if is_null else words
        case inspect.LiteralType():
            return _describe_words(kind.values)
        case inspect.StructType():
            return f"[{kind.cls.__name__}](#type.{kind.cls.__name__.lower()})"
        case inspect.CustomType():
            return _CUSTOM[kind.cls]
        case inspect.IntType():
            return "whole number" + _describe_range(kind)
        case inspect.DictType(value_type=inspect.UnionType()):
            return f"an object; for each stage {_describe(kind.value_type)}"
        case inspect.ListType() | inspect.VarTupleType():
            return f"list of {_describe(kind.item_type)}"
    plain = {inspect.StrType: "text", inspect.BoolType: "`true` or `false`",
             inspect.DecimalType: "number", inspect.FloatType: "number",
             inspect.DictType: "object", inspect.AnyType: "any value"}  # fmt: skip
    return plain[type(kind)]


def _is_absent(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.NoneType) or type(kind).__name__ == "UnsetType"


def _describe_range(kind: inspect.IntType) -> str:
    low = kind.ge if kind.ge is not None else None if kind.gt is None else kind.gt + 1
    return "" if low is None else f" from {Decimal(low):,}"


def _describe_words(values: Any) -> str:
    """Link a closed list to the entry that explains its words, else write the words."""
    for entry in load_kb(bundled_kb_dir()).entries.values():
        if isinstance(entry, Terms) and set(entry.members) == set(values):
            return f"one word of [`{entry.id}`](rules.md#kb.{entry.id})"
    return ", ".join(f"`{value}`" for value in values)


_OUTPUT_INTRODUCTION = """\
% generated by tools/generate_docs from the types and fields.toml; run `just generate`

# Output lines

This page is for those who read the output of `finops run`, `triage` or `resolve` with a program.
Each output line is one JSON object, and there is one output line for each input line, in order.
A field that the record did not give, and that finops derived or assumed, is named in `origin`.
`finops triage` writes lines without `resolution`, and `finops resolve` lines without `triage`.
`finops schema run` prints the JSON Schema of a line, `finops schema triage` and
`finops schema resolution` those of the two answers.

## The format and its changes

The field `format` is the version of the shape of a line. It rises when a field changes its
meaning or goes away; a new field does not raise it, so ignore fields that you do not know.

| `format` | date | change |
|---|---|---|
| 1 | 2026-11-29 | The first number: `fail`, `headline`, `warnings`, `origin` are new. |

The exit status says how the whole run ended: 0 when each line is `ok`, 1 when some line is not, and
2 or more when the run did not finish. See [the exit statuses](commands.md).
"""
_RECORDS_INTRODUCTION = """\
% generated by tools/generate_docs from the types and fields.toml; run `just generate`

# Records and cases

This page is for those who write input for finops. A file has one JSON object a line: a fail record
for `finops run` and `finops triage`, or a case for `finops resolve`. `finops schema fail` and
`finops schema resolver-input` print the JSON Schemas. A field that is not in the table is refused,
so that a misspelt name is found. A field that may be absent is derived from others
(`input.derived`) or assumed on the unfavourable side (`input.assumed.*`); the output line names it
in `origin`.

A fail record may also be written as text, the form that the triage model was trained on:
`{"fail_id": "F-1", "text": "Triage this fail record: CUSIP: 594918104 | Side: Sell | ..."}`.
"""
