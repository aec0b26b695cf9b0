"""Files of facts, such as an inventory: no job runs on them, a job on fails takes them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.files.recognise import FileKind, Recognised, open_content
from finops_cli.files.text_layout import declared_delimiter

FactFile = Literal["inventory", "counterparty_history"]
_INVENTORY = frozenset(InventoryLine.__struct_fields__)
_HISTORY = frozenset({"date", "counterparty", "trades", "fails"})
_HEADER_BYTES = 64 * 1024


def name_fact_file(names: Collection[str]) -> FactFile | None:
    """Return the kind of a file by its columns, or by the fields of its first line.

    None for a file of fails: it names a side or a counterparty, which no inventory has.
    """
    found = set(names)
    if found == {"snapshot"} or (
        "cusip" in found and found & {"qty", "usd"} and found <= _INVENTORY
    ):
        return "inventory"
    return "counterparty_history" if found == _HISTORY else None


def recognise_fact_line(given: Any) -> FactFile | None:
    """Return the kind of a file by its first line of JSON."""
    return name_fact_file(given) if isinstance(given, dict) else None


def recognise_fact_table(recognised: Recognised) -> FactFile | None:
    """Return the kind of a text file by the names of its columns; None for a workbook."""
    layout = recognised.layout
    if recognised.kind is not FileKind.TABLE or layout is None:
        return None
    with open_content(recognised) as file:
        header = file.readline(_HEADER_BYTES).decode(layout.encoding, errors="replace")
        if declared_delimiter(header.removeprefix("\N{BYTE ORDER MARK}")) is not None:
            header = file.readline(_HEADER_BYTES).decode(layout.encoding, errors="replace")
    cells = header.strip().removeprefix("\N{BYTE ORDER MARK}").split(layout.delimiter)
    return name_fact_file([cell.strip(' "').casefold() for cell in cells])
