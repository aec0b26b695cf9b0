"""The allotment of one fail in a plan of the whole book (specification of the book, 7.1)."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from finops_cli.domain.finding import Finding

SourceKind = Literal["FTR", "BOX", "DEPOT", "RECALL", "BORROW"]
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

Change = Literal["new", "same", "changed"]
"""The difference between an allotment and the one of an earlier plan."""


class AllottedShares(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Shares of one source. Only a recall beside a borrow covers nothing."""

    kind: SourceKind
    id: str
    dtc: str | None = None
    qty: int
    """Shares."""
    late: bool = False
    """The shares come after the deadline."""
    firm: bool = False
    """The part cannot be taken back."""
    beside_borrow: bool = False
    """The recall lets a loan be returned (kb: `book.beside_borrow`)."""


class BookPlace(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The place of a fail among all that draw on the same security."""

    cusip: str
    """The security whose sources it draws on."""
    place: int
    """Its place in the queue, from 1 (kb: `book.priority`)."""
    of: int
    """Fails in the queue."""
    uncovered: int
    late: int
    alone: int
    """Shares that would be uncovered if no other fail drew on the security."""
    change: Change | None = None
    """Compared with what was sent out; absent without `--sent`."""
    cut: str | None = None
    """Why shares stay uncovered: what the fails of its cut owe, and what reaches them.

    Absent for a fail that is covered, and for one that has its security for itself.
    """
    findings: tuple[Finding, ...] = ()
    """Facts about the plan of this fail that need attention."""


class InventoryOrigin(Struct, frozen=True):
    """The inventory file that a plan was made with."""

    sha256: str
    as_of: str | None
    """When the inventory was true; null where the file does not say."""
