"""MAPPING.yaml: the column of a desk's blotter for each field of a fail record.

    csv: {delimiter: ";", encoding: cp1252, dates: "%m/%d/%Y"}          (optional)
    columns:
      qty: Shares                                    (record field: column header)
      side: {column: B/S, values: {B: Buy, S: Sell}} (with the meaning of its cells)
      inventory.box_qty: Box
      trade_date: Trade Date                         (short for clock_facts.trade_date)
    constants: {counterparty: DTC-0005}              (equal in all records, listed as assumed)

All scalars are read as text, so that a CUSIP of digits keeps its zeros and `Yes` does not become a
boolean on the way.
"""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from finops_cli.files.user_files import Fault, Faults, UserFileModel, read_yaml, show, validate
from finops_cli.importers import dates
from finops_cli.importers.cells import MAPPABLE, Value, cell_of, full_name
from finops_cli.importers.stream import nest
from finops_cli.verify.codecs import FAIL
from finops_cli.verify.schemas import schema_errors


def _check_field(field: str) -> str:
    if field not in MAPPABLE:
        raise Faults(
            [Fault((), "is not a field that a cell can hold", f"one of: {', '.join(MAPPABLE)}")]
        )
    return field


def _check_delimiter(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError('one character, such as "," or ";" or "\\t"')
    return delimiter


def _check_encoding(encoding: str) -> str:
    try:
        TextIOWrapper(BytesIO(), encoding)
    except LookupError as error:
        raise ValueError("an encoding of text, such as utf-8-sig or cp1252") from error
    return encoding


def _check_dates(date_format: str) -> str:
    dates.compile_format(date_format)
    return date_format


def _column_from_header(given: object) -> object:
    return {"column": given} if isinstance(given, str) else given


RecordField = Annotated[str, AfterValidator(_check_field)]
_RECORD_FIELDS: dict[str, Any] = {"propertyNames": {"enum": list(MAPPABLE)}}
Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]
DateFormat = Annotated[str, AfterValidator(_check_dates)]


class CsvFormat(UserFileModel):
    """The format of the blotter."""

    delimiter: Annotated[
        Delimiter | None,
        Field(
            description="One character between two cells. Without it: the one that a first line"
            " sep=; names, else a comma."
        ),
    ] = None
    encoding: Annotated[
        Encoding,
        Field(description="utf-8-sig reads UTF-8 with and without Excel's byte-order mark."),
    ] = "utf-8-sig"
    dates: Annotated[
        DateFormat | None,
        Field(
            description="The format of every date of the blotter, from %Y, %y (of 2000 to 2099),"
            " %m, %b and %d, such as %m/%d/%Y. Without it, dates are YYYY-MM-DD or YYYYMMDD."
        ),
    ] = None


class Column(UserFileModel):
    """A column of the blotter."""

    column: str = Field(description="The header of the column.")
    values: dict[str, str] = Field(
        default={}, description="The value of the record for each text of a cell."
    )


HeaderOrColumn = Annotated[
    Column, BeforeValidator(_column_from_header, json_schema_input_type=str | Column)
]


class Mapping(UserFileModel):
    """The mapping of a blotter's columns to the fields of a fail record."""

    columns: dict[RecordField, HeaderOrColumn] = Field(
        description="The column of each record field: its header, or an object.",
        json_schema_extra=_RECORD_FIELDS,
    )
    csv: CsvFormat = CsvFormat()
    constants: dict[RecordField, str] = Field(
        default={},
        description="Fields that are equal in every record.",
        json_schema_extra=_RECORD_FIELDS,
    )


def read_mapping(path: Path) -> Mapping:
    """Read a mapping. Raises UsageError that lists every fault of the file."""
    given = read_yaml(path, all_text=True)
    return validate(Mapping, given, str(path), _faults_of_fields(given))


def _faults_of_fields(given: object) -> list[Fault]:
    """Find the faults that concern record fields, whatever else is wrong in the file."""
    parts = given if isinstance(given, dict) else {}
    columns, constants = (
        part if isinstance(part := parts.get(name), dict) else {}
        for name in ("columns", "constants")
    )
    faults = [
        Fault(("constants", field), "is given under columns too", "one of the two")
        for field in constants
        if full_name(field) in {*map(full_name, columns)}
    ]
    faults += [
        Fault((part, field), f"is given as {full_name(field)} too", "one of the two")
        for part, fields in (("columns", columns), ("constants", constants))
        for field in fields
        if full_name(field) != field and full_name(field) in fields
    ]
    known = {*map(full_name, columns), *map(full_name, constants)}
    if isinstance(parts.get("columns"), dict):
        faults += [
            Fault(("columns", field), "is missing", "a column, or a value under constants")
            for field in _required(known)
            if field not in known
        ]
    for field, text in constants.items():
        faults += _faults_of_value(field, text, ("constants", field))
    for field, column in columns.items():
        values = column.get("values") if isinstance(column, dict) else None
        for cell, text in values.items() if isinstance(values, dict) else ():
            if text != "":
                faults += _faults_of_value(field, text, ("columns", field, "values", cell))
    return faults


def _faults_of_value(field: str, text: object, path: tuple[str, ...]) -> list[Fault]:
    """Find what is wrong with a text of the mapping that becomes the value of a field."""
    if field not in MAPPABLE or not isinstance(text, str):
        return []  # the model reports it
    cell = cell_of(field)
    try:
        value = cell.parse(text.strip())
    except (ValueError, ArithmeticError):
        return [Fault(path, f"is {show(text)}", cell.accepted)]
    return [
        Fault(path, f"is {problem.value}", problem.accepted)
        for problem in schema_errors(nest({full_name(field): value}), FAIL.json_schema)
        if problem.rule != "schema.required"
    ]


def _required(given: set[str]) -> list[str]:
    """List the fields that a record must have.

    The fields of an inventory are required only when the mapping gives any of them.
    """
    schema = FAIL.json_schema
    required = list(schema["required"])
    if any(field.startswith("inventory.") for field in given):
        required += [f"inventory.{field}" for field in schema["$defs"]["Inventory"]["required"]]
    return required


def constants_of(mapping: Mapping) -> dict[str, Value]:
    """Return the constants of a checked mapping as values of the record."""
    return {
        full_name(field): cell_of(field).parse(text.strip())
        for field, text in mapping.constants.items()
    }
