"""`--counterparties FILE`: DTC number, BIC, name and e-mail address of each counterparty.

    counterparty,bic,name,contact,email
    DTC-0352,EXAMUS33XXX,Example Securities LLC,Settlements,fails@example.com

CSV or JSON Lines. Only the DTC number must be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from finops_cli.domain import exact_json, limits
from finops_cli.domain.fail import Dtc
from finops_cli.domain.finding import Problem
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.joins.counterparty_history import read_participant
from finops_cli.importers.row_files import Column, GivenRow, RowFaults, RowLayout, read_rows
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

ShortText = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS)]
Bic = Annotated[
    str,
    Meta(
        pattern="^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$",
        description="business identifier code (ISO 9362), 8 or 11 characters",
    ),
]
EmailAddress = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
        description="one e-mail address, such as fails@broker.example",
    ),
]


class Counterparty(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of a file of counterparties."""

    counterparty: Dtc
    bic: Bic | None = None
    name: ShortText | None = None
    contact: ShortText | None = None
    email: EmailAddress | None = None


_CODEC = Codec("counterparty", Counterparty, {})
_TEXT = Column(str)
_LAYOUT = RowLayout(
    {
        "counterparty": Column(read_participant),
        "bic": Column(lambda text: text.upper()),
        "name": _TEXT,
        "contact": _TEXT,
        "email": _TEXT,
    },
    required=(("counterparty",),),
)
_OFFICE = "XXX"
"""The last three characters of a BIC of 11 that names the main office (ISO 9362)."""


class CounterpartyFile:
    """The counterparties of a file, by DTC participant and by BIC, on disk."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises UsageError that lists every fault."""
        self._table = TemporaryTable(
            "CREATE TABLE parties (dtc TEXT PRIMARY KEY, bic TEXT, line INTEGER, body BLOB)"
            " WITHOUT ROWID",
            "CREATE UNIQUE INDEX by_bic ON parties (bic)",
        )
        faults = RowFaults(path)
        for given in read_rows(path, _LAYOUT):
            faults.add(given.line, self._take(given))
        faults.refuse()

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def find(self, participant: str) -> Counterparty | None:
        """Return the row of a DTC participant."""
        rows = self._table.select("SELECT body FROM parties WHERE dtc = ?", (participant,))
        return _CODEC.read_line(rows[0][0]) if rows else None

    def find_bic(self, bic: str) -> Counterparty | None:
        """Return the row of a BIC. A BIC of 8 characters names the main office."""
        query = "SELECT body FROM parties WHERE bic = ?"
        rows = self._table.select(query, (_full_bic(bic),))
        return _CODEC.read_line(rows[0][0]) if rows else None

    def _take(self, given: GivenRow) -> list[Problem]:
        if given.problems:
            return given.problems
        row = _CODEC.read(given.fields)
        if row is None:
            return _CODEC.explain(given.fields)
        bic = None if row.bic is None else _full_bic(row.bic)
        values = (row.counterparty, bic, given.line, exact_json.encode(row))
        if self._table.insert("INSERT OR IGNORE INTO parties VALUES (?, ?, ?, ?)", values):
            return []
        [(line, is_dtc)] = self._table.select(
            "SELECT line, dtc = ? FROM parties WHERE dtc = ? OR bic = ? LIMIT 1",
            (row.counterparty, row.counterparty, bic),
        )
        field, value = ("counterparty", row.counterparty) if is_dtc else ("bic", row.bic or "")
        return [unusable("input.duplicate", field, value, f"one line for it; line {line} has it")]


def _full_bic(bic: str) -> str:
    return bic if len(bic) > 8 else f"{bic}{_OFFICE}"
