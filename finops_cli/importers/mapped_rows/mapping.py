"""MAPPING.yaml: the column of a desk's file for each field of a fail record.

    csv: {delimiter: ";", encoding: cp1252, dates: "%m/%d/%Y"}          (each part is optional)
    sheet: Fails                                   (of a workbook with several sheets)
    rows:
      header: 4                                    (the line of the header)
      skip: [{column: Ref, is: [Total, "Page*"]}]  (rows that are not fails)
    numbers: {decimal: ",", grouping: "."}
    blanks: ["-", "n/a"]                           (texts that mean an empty cell)
    columns:
      qty: Shares                                  (record field: column header)
      side: {column: B/S, values: {B: Buy, S: Sell}}  (with the meaning of its cells)
      counterparty: {column: Broker, repairs: [pad_dtc]}
      cp_fail_rate_pct: {column: Rate, scale: "100", default: "0"}
      inventory.box_qty: {column: "#7", sign: drop}   (the seventh column)
      cns_direction: {when: [{if: {CNS: [Y], Side: [S]}, then: FTD}, {then: N_A}]}
      trade_date: Trade Date                       (short for clock_facts.trade_date)
    constants: {counterparty: DTC-0005}            (equal in all records, listed as assumed)

All scalars are read as text, so that a CUSIP of digits keeps its zeros and `Yes` does not become a
boolean on the way.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from finops_cli.files.user_files import Fault, Faults, UserFileModel, read_yaml, validate
from finops_cli.importers import dates
from finops_cli.importers.mapped_rows import repairs
from finops_cli.importers.mapped_rows.cells import MAPPABLE, Value, cell_of, full_name
from finops_cli.importers.mapped_rows.mapping_faults import find_faults
from finops_cli.importers.mapped_rows.number_text import Marks


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


def _check_format(date_format: str) -> str:
    dates.compile_format(date_format)
    return date_format


def _check_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    if overlap := dates.find_overlap(formats):
        first, second, text = overlap
        raise ValueError(
            f"formats of which one at most can read a cell; {first} and {second} both read {text}"
        )
    return formats


def _check_repair(name: str) -> str:
    if name not in repairs.DESCRIPTIONS:
        raise ValueError(f"one of: {', '.join(repairs.DESCRIPTIONS)}")
    return name


def _check_scale(scale: Decimal) -> Decimal:
    if not scale.is_finite() or scale <= 0:
        raise ValueError('a number above 0, such as "100" or "1000"')
    return scale


def _check_marks(numbers: NumberFormat) -> NumberFormat:
    if numbers.grouping == numbers.decimal:
        raise ValueError("two marks that differ")
    return numbers


def _column_from_header(given: object) -> object:
    return {"column": given} if isinstance(given, str) else given


def _list_of_one(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _kind_of_column(given: object) -> str:
    has_rules = "when" in given if isinstance(given, dict) else isinstance(given, Decision)
    return _DECISION if has_rules else _COLUMN


_COLUMN, _DECISION = "Column", "Decision"
"""Marks of the union that no key of a mapping has: messages leave them out."""
RecordField = Annotated[str, AfterValidator(_check_field)]
_RECORD_FIELDS: dict[str, Any] = {"propertyNames": {"enum": list(MAPPABLE)}}
Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]
DateFormat = Annotated[str, AfterValidator(_check_format)]
DateFormats = Annotated[
    tuple[DateFormat, ...],
    BeforeValidator(_list_of_one, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_check_formats),
]
RepairName = Annotated[
    str,
    AfterValidator(_check_repair),
    Field(json_schema_extra={"enum": list(repairs.DESCRIPTIONS)}),
]
Texts = tuple[str, ...]
_TEXTS = "A `*` at the end matches a beginning. Capitals do not count."


class CsvFormat(UserFileModel):
    """The format of a CSV file."""

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
        DateFormats,
        Field(
            description="The format of every date, from %Y, %y (of 2000 to 2099), %m, %b and %d,"
            " such as %m/%d/%Y; or a list of formats. Without it, dates are YYYY-MM-DD or YYYYMMDD."
        ),
    ] = ()


class SkipRule(UserFileModel):
    """Rows that are not fails, such as totals and footers."""

    column: str = Field(description="The header of the column that shows it.")
    is_: Texts = Field(
        alias="is",
        min_length=1,
        description=f"The texts of a row to skip. {_TEXTS} A row that only a beginning matches, and"
        " that has a CUSIP and a quantity, is refused.",
    )


class RowFormat(UserFileModel):
    """Which rows of the file are fails."""

    header: int | None = Field(
        default=None,
        ge=1,
        description="The line of the header; the lines above it are skipped. Without it: the first"
        " line that is not blank.",
    )
    skip: tuple[SkipRule, ...] = Field(default=(), description="Rows to skip.")


class NumberFormat(UserFileModel):
    """The marks in the numbers of the file."""

    decimal: Literal[".", ","] = Field(default=".", description="The mark before the decimals.")
    grouping: Literal[".", ",", " ", "'", ""] | None = Field(
        default=None,
        description="The mark between groups of three digits. Without it: the other one of full"
        " stop and comma.",
    )

    @property
    def marks(self) -> Marks:
        """The marks, each of them decided."""
        other = "," if self.decimal == "." else "."
        return Marks(self.decimal, other if self.grouping is None else self.grouping)


class Column(UserFileModel):
    """A column of the file."""

    column: str = Field(
        description='The header of the column, or "#3" for the third column of the file.'
    )
    values: dict[str, str] = Field(
        default={}, description="The value of the record for each text of a cell."
    )
    blanks: Texts = Field(
        default=(), description="More texts that mean an empty cell in this column."
    )
    default: str | None = Field(
        default=None, description="The value of the record for an empty cell."
    )
    sign: Literal["keep", "drop", "negate"] = Field(
        default="keep", description="What becomes of the sign of a number."
    )
    scale: Annotated[Decimal, AfterValidator(_check_scale)] | None = Field(
        default=None,
        description='The number by which the cells are multiplied: "100" where 0.04 is 4 percent.',
    )
    repairs: tuple[RepairName, ...] = Field(
        default=(),
        description="Repairs of cells: "
        + "; ".join(f"{name} ({text})" for name, text in repairs.DESCRIPTIONS.items()),
    )


class DecisionRule(UserFileModel):
    """One rule of a decision."""

    if_: dict[str, Texts] = Field(
        alias="if",
        default={},
        description=f"The texts of each column; all columns must fit. {_TEXTS}",
    )
    then: str = Field(description="The value of the record, or an empty text for none.")


class Decision(UserFileModel):
    """Several columns that decide one field: the first rule that fits holds."""

    when: tuple[DecisionRule, ...] = Field(min_length=1, description="The rules, in order.")


HeaderOrColumn = Annotated[
    Annotated[Column, Tag(_COLUMN)] | Annotated[Decision, Tag(_DECISION)],
    Discriminator(_kind_of_column),
    BeforeValidator(_column_from_header, json_schema_input_type=str | Column | Decision),
]


class Mapping(UserFileModel):
    """The mapping of a file's columns to the fields of a fail record."""

    columns: dict[RecordField, HeaderOrColumn] = Field(
        description="The column of each record field: its header, or an object.",
        json_schema_extra=_RECORD_FIELDS,
    )
    csv: CsvFormat = CsvFormat()
    sheet: str | None = Field(default=None, description="The sheet of a workbook that has several.")
    rows: RowFormat = RowFormat()
    numbers: Annotated[NumberFormat, AfterValidator(_check_marks)] | None = Field(
        default=None,
        description="The marks in numbers. Without it, numbers are as in the United States, and one"
        " that could be a thousand times larger, such as 12.000, is refused.",
    )
    blanks: Texts | None = Field(
        default=None,
        description="Texts that mean an empty cell. Without it: those of `finops kb show"
        " import.blanks`.",
    )
    constants: dict[RecordField, str] = Field(
        default={},
        description="Fields that are equal in every record.",
        json_schema_extra=_RECORD_FIELDS,
    )


def read_mapping(path: Path, supplied: Collection[str] = ()) -> Mapping:
    """Read a mapping; `supplied` are fields that the mapping may lack, because options give them.

    Raises UsageError that lists every fault of the file.
    """
    given = read_yaml(path, all_text=True)
    return validate(Mapping, given, str(path), find_faults(given, supplied))


def constants_of(mapping: Mapping) -> dict[str, Value]:
    """Return the constants of a checked mapping as values of the record."""
    return {
        full_name(field): cell_of(field).parse(text.strip())
        for field, text in mapping.constants.items()
    }
