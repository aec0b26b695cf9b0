"""The sender and the receivers of letters: the files of --desk and --counterparties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from finops_cli.domain.fail import Dtc
from finops_cli.domain.limits import PROBLEMS
from finops_cli.errors import UsageError
from finops_cli.files.user_files import read_yaml
from finops_cli.importers.counterparties import (
    Counterparty,
    CounterpartyFile,
    EmailAddress,
    ShortText,
)
from finops_cli.letters.compose import Addressee
from finops_cli.verify.codecs import Codec


class ClearedBroker(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A broker-dealer that the firm clears and settles for."""

    name: ShortText
    counterparty: Dtc | None = None
    contact: ShortText | None = None
    email: EmailAddress | None = None


class DeskDetails(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sender of the letters."""

    firm: ShortText | None = None
    desk: ShortText | None = None
    dtc: Dtc | None = None
    signed_by: ShortText | None = None
    phone: ShortText | None = None
    email: EmailAddress | None = None
    clears_for: tuple[ClearedBroker, ...] = ()


_DESK = Codec("desk", DeskDetails, {})


def read_desk(path: Path) -> DeskDetails:
    """Read the sender of the letters (YAML). Raises UsageError that lists every fault."""
    given: Any = read_yaml(path, all_text=True)
    desk = _DESK.read(given) if isinstance(given, dict) else None
    if desk is None:
        faults = _DESK.explain(given)[:PROBLEMS]
        said = "; ".join(fault.message for fault in faults) or f"it is {given!r}"
        fields = ", ".join(DeskDetails.__struct_fields__)
        raise UsageError(f"{path}: {said}", f"give a YAML file with these keys: {fields}")
    return desk


def sender_facts(desk: DeskDetails) -> Mapping[str, str | None]:
    """Return the places of a letter that the sender fills."""
    return {
        "firm": desk.firm,
        "desk": desk.desk,
        "our_dtc": desk.dtc,
        "signed_by": desk.signed_by,
        "phone": desk.phone,
        "email": desk.email,
    }


def find_addressee(participant: str, name: str | None, known: CounterpartyFile | None) -> Addressee:
    """Return whom a letter to a DTC participant is for; `name` is the one of the record."""
    row: Counterparty | None = None
    if known is not None and participant:
        row = known.find(participant)
    if row is None:
        return Addressee(participant=participant or None, name=name)
    return Addressee(
        participant=participant, name=row.name or name, contact=row.contact, email=row.email
    )


def cleared_brokers(desk: DeskDetails) -> list[Addressee]:
    """Return the broker-dealers that the firm clears for; one blank where none is given."""
    return [
        Addressee(
            participant=each.counterparty, name=each.name, contact=each.contact, email=each.email
        )
        for each in desk.clears_for
    ] or [Addressee()]
