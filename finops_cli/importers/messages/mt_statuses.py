"""Settlement statuses in MT548 and MT537 messages.

An MT548 is the status of one instruction. An MT537 is a statement in one of three shapes: by status
(STAT, with the transactions inside), by transaction (TRANS, with the statuses inside), or of
penalties (PENA), which has no settlement status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from finops_cli.importers.messages.mt_blocks import (
    MessageEnd,
    MessageStart,
    MtField,
    read_events,
)
from finops_cli.importers.messages.pages import Pages
from finops_cli.importers.messages.status import (
    Cancelled,
    Party,
    Read,
    SettlementStatus,
    Skipped,
    StatusReason,
)

_ADVICE, _STATEMENT = "548", "537"
_TRANSACTIONS = ("TRAN", "TRANS")
_PENALTIES = "PEN"
_PATH, _DETAILS = "SETTRAN", "SETDET"
_FIELDS_MOST = 20_000
"""Fields of one transaction; a longer one is refused rather than held in memory."""
_VALUE = re.compile(r":([A-Z0-9]{4})/([^/]*)/(.*)", re.DOTALL)
_ISIN = re.compile(r"ISIN\s+([A-Z]{2}[A-Z0-9]{9}[0-9])")
_LOCAL = re.compile(r"\s*/(?:US|CA)/([A-Z0-9*@#]{9})(?![A-Z0-9])")
_PAGE = re.compile(r"([0-9]{1,5})/(ONLY|LAST|MORE)")
_REFERENCES = ("RELA", "TRRF", "COMM", "PROC", "MITI", "PCTI")
"""References of the instruction, the account owner's first."""
_ROLES = {
    "DELI": ("REAG", "BUYR", "REI1", "REI2", "RECU"),
    "RECE": ("DEAG", "SELL", "DEI1", "DEI2", "DECU"),
}
"""The other side of a delivery and of a receipt, the nearest party first."""
_MOMENT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{6})?")
_CANCELLATION = "CANC"


class _Scoped(NamedTuple):
    """A field, and the sequences around it."""

    path: tuple[str, ...]
    field: MtField


def read_mt(file: BinaryIO, pages: Pages) -> Iterator[Read]:
    """Yield the statuses of a file of MT messages, one by one, and note its pages in `pages`."""
    message: _Message | None = None
    for event in read_events(file):
        if isinstance(event, MessageStart):
            message = _Message(event)
        elif message is None:
            continue
        elif isinstance(event, MtField):
            yield from message.read(event)
        elif isinstance(event, MessageEnd):
            yield from message.end(event)
            _note_page(message, pages)
            message = None


def _note_page(message: _Message, pages: Pages) -> None:
    found = _PAGE.search(message.page or "")
    if found is not None:
        pages.add(message.name, message.key, int(found[1]), found[2] != "MORE", message.line)


class _Message:
    """One message while it is read. Transactions of a statement leave it as they end."""

    def __init__(self, start: MessageStart) -> None:
        self.line = start.line
        self.type = start.type
        self.page: str | None = None
        self._path: list[str] = []
        self._general: list[_Scoped] = []
        self._status: list[_Scoped] = []
        self._transaction: list[_Scoped] | None = None
        self._depth = 0
        self._begun = 0
        self._found = 0
        self._has_penalties = False
        self._is_advice = False
        self._fault: str | None = None

    @property
    def name(self) -> str:
        """The name of the message, such as MT548."""
        kind = self.type or (_ADVICE if self._is_advice else _STATEMENT)
        return f"MT{kind}"

    @property
    def key(self) -> tuple[str | None, ...]:
        """The common facts of the pages of one statement."""
        named = (("97A", "SAFE"), ("98", "STAT"), ("13A", "STAT"), ("22F", "STST"))
        return (self.name, *(_find(self._general, *each) for each in named))

    def read(self, field: MtField) -> Iterator[Read]:
        """Take a field; at the end of a transaction yield its status."""
        if self._fault is not None or self.type not in (None, _ADVICE, _STATEMENT):
            return
        if field.tag == "16R":
            self._open(field)
        elif field.tag == "16S":
            yield from self._close(field)
        elif not any(name.startswith(_PENALTIES) for name in self._path):
            self._keep(field)

    def _open(self, field: MtField) -> None:
        name = field.value.strip()
        self._has_penalties |= name.startswith(_PENALTIES)
        is_inside_penalties = any(each.startswith(_PENALTIES) for each in self._path)
        if name == "STAT" and not self._path:
            self._status = []
        if name in _TRANSACTIONS and self._transaction is None and not is_inside_penalties:
            self._transaction, self._depth, self._begun = [], len(self._path), field.line
        self._is_advice |= name == _PATH
        self._path.append(name)

    def _close(self, field: MtField) -> Iterator[Read]:
        name = field.value.strip()
        if not self._path or self._path[-1] != name:
            inner = f"sequence {self._path[-1]} is open" if self._path else "no sequence is open"
            self._fault = f"line {field.line} ends sequence {name}, but {inner}"
            return
        self._path.pop()
        if self._transaction is not None and len(self._path) == self._depth:
            fields = [*self._status, *self._transaction]
            if _function(self._general) != _CANCELLATION:
                yield _make(f"MT{_STATEMENT}", self._begun, self._general, fields)
            self._found += 1
            self._transaction = None

    def _keep(self, field: MtField) -> None:
        scoped = _Scoped(tuple(self._path), field)
        if field.tag == "28E":
            self.page = field.value.removeprefix(":")
        if self._transaction is not None:
            kept = self._transaction
        else:
            kept = self._status if "STAT" in self._path else self._general
        kept.append(scoped)
        if len(kept) > _FIELDS_MOST:
            self._fault = f"a transaction has more than {_FIELDS_MOST:,} fields"

    def end(self, end: MessageEnd) -> Iterator[Read]:
        """Yield the status of an advice, or why the message has none."""
        fault = end.fault or self._fault
        if fault is None and self._path:
            fault = f"sequence {self._path[-1]} is not closed"
        if self.type not in (None, _ADVICE, _STATEMENT):
            yield Skipped(message=self.name, line=self.line, why="it is no settlement status")
        elif fault is not None:
            yield Skipped(message=self.name, line=self.line, why=fault, is_damaged=True)
        elif _function(self._general) == _CANCELLATION:
            yield self._cancel()
        elif self._found:
            return
        elif self.type == _ADVICE or (self.type is None and self._is_advice):
            fields = [*self._status, *self._general]
            yield _make(f"MT{_ADVICE}", self.line, self._general, fields)
        else:
            why = "it has penalties and no status" if self._has_penalties else "it has no status"
            yield Skipped(message=self.name, line=self.line, why=why)

    def _cancel(self) -> Read:
        reference = _find(self._general, "20C", "PREV")
        if reference is not None:
            return Cancelled(message=self.name, line=self.line, reference=reference)
        why = "it cancels a message that it does not name (20C PREV)"
        return Skipped(message=self.name, line=self.line, why=why, is_damaged=True)


def _make(
    message: str, line: int, general: list[_Scoped], fields: list[_Scoped]
) -> SettlementStatus:
    """Make the status of one instruction of the fields that concern it."""
    isin, cusip, description = _security(fields)
    quantities = _quantities(fields)
    left, left_currency = _amount(fields, "RSTT")
    movement = _find(fields, "22H", "REDE")
    amount, currency = _amount(fields)
    stated = _find(general, "98", "STAT") or _find(general, "98", "PREP")
    moment = _MOMENT.match(stated or "")
    return SettlementStatus(
        message=message,
        line=line,
        message_reference=_find(general, "20C", "SEME"),
        references=tuple(filter(None, (_find(fields, "20C", name) for name in _REFERENCES))),
        statuses=_statuses(fields),
        reasons=_reasons(fields),
        isin=isin,
        cusip=cusip,
        description=description,
        quantity=quantities.get("SETT") or quantities.get("PSTA"),
        settled=quantities.get("PSTT"),
        remaining=quantities.get("RSTT"),
        movement=movement,
        amount=amount,
        currency=currency,
        remaining_amount=left if left_currency == currency else None,
        trade_date=_day(_find(fields, "98", "TRAD")),
        settlement_date=_day(_find(fields, "98", "SETT")),
        stated_on=_day(stated),
        stated_at=None if moment is None else moment[0],
        parties=_parties(fields, _ROLES.get(movement or "", ())),
    )


def _values(fields: list[_Scoped], tag: str) -> Iterator[tuple[str, str, str]]:
    """Yield qualifier, issuer and value of each field whose tag begins with `tag`."""
    for scoped in fields:
        if scoped.field.tag.startswith(tag) and (found := _VALUE.match(scoped.field.value)):
            yield found[1], found[2], found[3].strip()


def _find(fields: list[_Scoped], tag: str, qualifier: str) -> str | None:
    """Return the value of the first field with a tag and a qualifier."""
    found = (value for name, _, value in _values(fields, tag) if name == qualifier and value)
    return next(found, None)


def _function(fields: list[_Scoped]) -> str | None:
    """Return the function of the message (23G): NEWM, CAST, CANC ..."""
    found = (each.field.value.strip()[:4] for each in fields if each.field.tag == "23G")
    return next(found, None)


def _statuses(fields: list[_Scoped]) -> tuple[str, ...]:
    return tuple(f"{kind}/{code[:4]}" for kind, _, code in _values(fields, "25D"))


def _reasons(fields: list[_Scoped]) -> tuple[StatusReason, ...]:
    """Return the reasons, each with the narrative that follows it."""
    found: list[StatusReason] = []
    for scoped in fields:
        parsed = _VALUE.match(scoped.field.value)
        if scoped.field.tag == "24B" and parsed is not None:
            found.append(StatusReason(parsed[3].strip()[:4]))
        elif scoped.field.tag == "70D" and parsed is not None and parsed[1] == "REAS":
            text = " ".join(parsed[3].split())
            if found and found[-1].narrative is None:
                found[-1] = StatusReason(found[-1].code, text)
            else:
                found.append(StatusReason("NARR", text))
    return tuple(found)


def _security(fields: list[_Scoped]) -> tuple[str | None, str | None, str | None]:
    """Return ISIN, CUSIP and description of the security."""
    for scoped in fields:
        if scoped.field.tag == "35B":
            text = scoped.field.value.removeprefix(":").strip()
            isin = _ISIN.match(text)
            rest = text if isin is None else text[isin.end() :]
            local = _LOCAL.match(rest)
            rest = rest if local is None else rest[local.end() :]
            words = " ".join(rest.split()) or None
            return isin[1] if isin else None, local[1] if local else None, words
    return None, None, None


def _quantities(fields: list[_Scoped]) -> dict[str, str]:
    """Return the quantities by qualifier: PSTT has settled, RSTT has not."""
    return {
        name: _number(value.partition("/")[2])
        for name, _, value in _values(fields, "36B")
        if not value.startswith("AMOR/")
    }


def _number(text: str) -> str:
    """Read a number with a decimal comma: `5000,` is 5000 and `1234,5` is 1234.5."""
    return text.replace(",", ".").removesuffix(".")


def _amount(fields: list[_Scoped], *names: str) -> tuple[str | None, str | None]:
    """Return the first amount of these qualifiers, and its currency."""
    amounts = (_find(fields, "19A", name) for name in names or ("SETT", "PSTA"))
    found = next(filter(None, amounts), None)
    if found is None:
        return None, None
    text = found.removeprefix("N") if found[:1] == "N" and found[1:4].isalpha() else found
    return _number(text[3:]), text[:3]


def _day(text: str | None) -> str | None:
    """Read the day of a date, or of a moment; None for a word such as OPEN."""
    found = _MOMENT.match(text or "")
    return f"{found[1]}-{found[2]}-{found[3]}" if found else None


def _parties(fields: list[_Scoped], roles: tuple[str, ...]) -> tuple[Party, ...]:
    """Return the parties of the other side, the nearest first."""
    found: dict[str, Party] = {}
    for scoped in fields:
        parsed = _VALUE.match(scoped.field.value)
        if parsed is None or parsed[1] not in roles or not scoped.field.tag.startswith("95"):
            continue
        role, value = parsed[1], parsed[3].strip()
        party = found.get(role) or Party(role=role)
        found[role] = Party(
            role=role,
            bic=value if scoped.field.tag == "95P" else party.bic,
            dtc=value if scoped.field.tag == "95R" and parsed[2] == "DTCYID" else party.dtc,
            name=value.split("\n")[0] if scoped.field.tag == "95Q" else party.name,
        )
    return tuple(found[role] for role in roles if role in found)
