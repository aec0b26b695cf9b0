"""Finds the faults of a mapping that its types cannot express."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from finops_cli.domain import exact_json
from finops_cli.files.user_files import Fault, show
from finops_cli.importers.mapped_rows.cells import MAPPABLE, NUMBERS, cell_of, full_name
from finops_cli.importers.mapped_rows.repairs import allowed_for
from finops_cli.importers.stream import nest
from finops_cli.pipeline.parse import parse_fail
from finops_cli.verify.codecs import FAIL

_SAMPLE = {
    "fail_id": "F-1",
    "cusip": "594918104",
    "side": "Sell",
    "qty": 100,
    "counterparty": "DTC-0005",
    "age_days": 1,
    "market_value": 100,
    "cns_position": -100,
    "cns_direction": "FTD",
    "reg_sho_threshold": False,
    "inventory_coverage_pct": 0,
    "cp_fail_rate_pct": 1,
    "inventory.box_qty": 0,
    "inventory.stock_loan_available": 0,
    "inventory.recall_outstanding": 0,
    "inventory.pending_receives": 0,
    "clock_facts.as_of": "2026-11-18",
    "clock_facts.trade_date": "2026-11-16",
    "clock_facts.settlement_date": "2026-11-17",
}
"""A record without a fault. Other fields are never required, and nothing follows from them."""

_MOMENT = "clock_facts.as_of"


def list_missing(fields: Collection[str]) -> list[str]:
    """List the fields that a record with `fields` lacks: neither given nor derived nor assumed.

    The parser of records decides it: it reads a record that has these fields.
    """
    known = {full_name(field) for field in fields}
    record = nest({field: value for field, value in _SAMPLE.items() if field in known})
    problems = parse_fail(exact_json.decode(exact_json.encode(record))).problems
    paths = dict.fromkeys(problem.path[1:].replace("/", ".") for problem in problems)
    return [path for path in paths if path not in known]


def find_faults(given: object, supplied: Collection[str] = ()) -> list[Fault]:
    """Find the faults that concern record fields, whatever else is wrong in the file `given`.

    `supplied` are fields that options of the command give. The moment of the data is never
    required: `finops run --as-of` gives it.
    """
    parts = given if isinstance(given, dict) else {}
    columns, constants = (
        part if isinstance(part := parts.get(name), dict) else {}
        for name in ("columns", "constants")
    )
    faults = [*_find_repeated(columns, constants)]
    if isinstance(parts.get("columns"), dict):
        faults += [
            Fault(("columns", field), "is missing", "a column, or a value under constants")
            for field in list_missing([*columns, *constants, *supplied])
            if field != _MOMENT
        ]
    for field, text in constants.items():
        faults += _find_value_faults(field, text, ("constants", field))
    for field, column in columns.items():
        if isinstance(column, dict) and field in MAPPABLE:
            faults += _find_column_faults(field, column)
    return faults


def _find_repeated(columns: dict[Any, Any], constants: dict[Any, Any]) -> Iterator[Fault]:
    for field in constants:
        if full_name(field) in {*map(full_name, columns)}:
            yield Fault(("constants", field), "is given under columns too", "one of the two")
    for part, fields in (("columns", columns), ("constants", constants)):
        for field in fields:
            if full_name(field) != field and full_name(field) in fields:
                yield Fault((part, field), f"is given as {full_name(field)} too", "one of the two")


def _find_column_faults(field: str, column: dict[Any, Any]) -> Iterator[Fault]:
    path = ("columns", field)
    for key, texts in (("values", column.get("values")), ("default", column.get("default"))):
        if isinstance(texts, dict):
            for cell, text in texts.items():
                yield from _find_value_faults(field, text, (*path, key, cell))
        else:
            yield from _find_value_faults(field, texts, (*path, key))
    rules = column.get("when")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict):
            yield from _find_value_faults(field, rule.get("then"), (*path, "when", number, "then"))
    if cell_of(field).kind not in NUMBERS:
        for key in ("sign", "scale"):
            if key in column:
                yield Fault((*path, key), "is given", f"no {key}: {field} is not a number")
    names = column.get("repairs")
    for number, name in enumerate(names if isinstance(names, list) else ()):
        accepted = allowed_for(full_name(field))
        if name not in accepted:
            yield Fault((*path, "repairs", number), f"is {show(name)}", _one_of(accepted))


def _one_of(names: Collection[str]) -> str:
    return f"a repair of this field: {', '.join(names)}"


def _find_value_faults(field: str, text: object, path: tuple[str | int, ...]) -> list[Fault]:
    """Find what is wrong with a text of the mapping that becomes the value of a field."""
    if field not in MAPPABLE or not isinstance(text, str) or (text == "" and path[0] == "columns"):
        return []  # the model reports it
    cell = cell_of(field)
    try:
        value = cell.parse(text.strip())
    except (ValueError, ArithmeticError):
        return [Fault(path, f"is {show(text)}", cell.accepted)]
    return [
        Fault(path, f"is {problem.value}", problem.accepted)
        for problem in FAIL.explain(nest({full_name(field): value}))
        if problem.rule != "schema.required"
    ]
