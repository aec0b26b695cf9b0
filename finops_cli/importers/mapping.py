"""Which column of a desk's blotter is which field of a fail record: MAPPING.yaml, read into types,
unknown keys refused.

    csv: {delimiter: ";", encoding: cp1252}                      (optional)
    columns:
      qty: Shares                                                (record field: column header)
      side: {column: B/S, values: {B: Buy, S: Sell}}             (with what its cells stand for)
      inventory.box_qty: Box
    constants: {counterparty: DTC-0005}                          (the same in every record; marked there as assumed)

All scalars are read as text, so that a CUSIP of digits stays one and `Yes` is not turned into a
boolean on the way.
"""  # noqa: E501 - a diagram

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.importers.cells import CELLS, Value
from finops_cli.verify.codecs import FAIL
from finops_cli.verify.schemas import schema_errors

_SHAPE = (
    "accepted: csv {delimiter, encoding}, columns {field: header, or field: {column, values}},"
    " constants {field: value}"
)


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written.

    `utf-8-sig` is UTF-8 with or without Excel's mark at the beginning.
    """

    delimiter: str = ","
    encoding: str = "utf-8-sig"


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """A column by its header, and what each of its cells stands for when they are the desk's own
    words.
    """

    column: str
    values: dict[str, str] = {}


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """MAPPING.yaml."""

    columns: dict[str, str | Column]
    csv: Layout = Layout()
    constants: dict[str, str] = {}

    def column_of(self, field: str) -> Column:
        """The column that gives `field`."""
        given = self.columns[field]
        return Column(given) if isinstance(given, str) else given


class _TextLoader(yaml.BaseLoader):
    """A safe loader to which each scalar is text; a key given twice is refused, where YAML would
    take the last in silence.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice[0]} is given twice; keep one", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> Mapping:
    """The mapping in `path`. Raises UsageError when it is none, or cannot give a fail record."""
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_TextLoader)  # noqa: S506 - a BaseLoader, which makes only text, lists and dicts
        mapping = msgspec.convert(given, Mapping)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give a mapping file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}; {_SHAPE}") from error
    _refuse_layout(path, mapping.csv)
    _refuse_fields(path, mapping)
    constants_of(mapping, path)
    return mapping


def _refuse_layout(path: Path, layout: Layout) -> None:
    if len(layout.delimiter) != 1 or layout.delimiter in '"\r\n':
        raise UsageError(
            f'{path}: csv.delimiter is {layout.delimiter!r}; accepted: one character, such as ","'
            ' or ";" or "\\t"'
        )
    try:
        TextIOWrapper(BytesIO(), layout.encoding)
    except LookupError as error:
        accepted = "an encoding of text, such as utf-8-sig or cp1252"
        raise UsageError(
            f"{path}: csv.encoding is {layout.encoding!r}; accepted: {accepted}"
        ) from error


def _refuse_fields(path: Path, mapping: Mapping) -> None:
    for part, fields in (("columns", mapping.columns), ("constants", mapping.constants)):
        unknown = [field for field in fields if field not in CELLS]
        if unknown:
            raise UsageError(
                f"{path}: {part} names {', '.join(unknown)}, which no cell can hold; accepted:"
                f" {', '.join(CELLS)}"
            )
    twice = [field for field in mapping.columns if field in mapping.constants]
    if twice:
        raise UsageError(
            f"{path}: {', '.join(twice)} stands under columns and under constants; keep one"
        )
    given = {*mapping.columns, *mapping.constants}
    missing = [field for field in _required(given) if field not in given]
    if missing:
        raise UsageError(
            f"{path}: a fail record needs {', '.join(missing)}; give each a column, or a value"
            " under constants"
        )


def _required(given: set[str]) -> list[str]:
    """The fields that a record must have; those of the inventory only when the mapping gives any of
    it.
    """
    schema = FAIL.json_schema
    required = list(schema["required"])
    if any(field.startswith("inventory.") for field in given):
        required += [f"inventory.{field}" for field in schema["$defs"]["Inventory"]["required"]]
    return required


def constants_of(mapping: Mapping, path: Path) -> dict[str, Value]:
    """The constants as values of the record. Raises UsageError for one that no record can have."""
    constants = {}
    for field, text in mapping.constants.items():
        try:
            constants[field] = CELLS[field].parse(text.strip())
        except (ValueError, ArithmeticError) as error:
            raise UsageError(
                f"{path}: constants: {field} is {text!r}; accepted: {CELLS[field].accepted}"
            ) from error
    problems = _wrong(nested(constants))
    if problems:
        raise UsageError(f"{path}: constants: {'; '.join(problem.message for problem in problems)}")
    return constants


def _wrong(constants: dict[str, Any]) -> list[Problem]:
    return [
        problem
        for problem in schema_errors(constants, FAIL.json_schema)
        if problem.rule != "schema.required"
    ]


def nested(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with dotted names as objects: inventory.box_qty becomes {"inventory": {"box_qty":
    ...}}.
    """
    record: dict[str, Any] = {}
    for field, value in fields.items():
        outer, dot, inner = field.partition(".")
        if dot:
            record.setdefault(outer, {})[inner] = value
        else:
            record[field] = value
    return record
