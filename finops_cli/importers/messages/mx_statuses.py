"""Settlement statuses in ISO 20022 messages: sese.024 (one instruction) and semt.018 (a report).

Elements are found by their names below a transaction, whatever wraps them: the versions of a
message differ in how deep a date or a code stands, not in what it is called. A document type is
refused, so that no entity can be declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from finops_cli.importers.messages.pages import Pages
from finops_cli.importers.messages.status import (
    Party,
    Read,
    SettlementStatus,
    Skipped,
    StatusReason,
)
from finops_cli.importers.messages.xml_node import Node

_CHUNK_BYTES = 65_536
_MESSAGES = {"SctiesSttlmTxStsAdvc": "sese.024", "SctiesTxPdgRpt": "semt.018"}
_NAMESPACE = re.compile(
    r"urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.[0-9]{3})\.[0-9]{3}\.([0-9]{2})"
)
_FIRST_VERSION, _LAST_VERSION = 2, 12
_TRANSACTION = "TxDtls"
_HOLDERS = ("Tx", "Txs")
"""A transaction of a report; its details may be left out."""
_GROUP = "Sts"
"""The transactions of one status in a report."""
_DOCUMENT = "Document"
_DECLARATION = b"<?xml"
_STATUS_KINDS = {"SttlmSts": "SETT", "MtchgSts": "MTCH", "IfrrdMtchgSts": "INMH", "PrcgSts": "IPRC"}
_STATUS_CODES = {
    "Flng": "PENF",
    "Pdg": "PEND",
    "Umtchd": "NMAT",
    "Mtchd": "MACH",
    "AckdAccptd": "PACK",
    "PdgPrcg": "PPRC",
    "Rprd": "REPR",
    "Rjctd": "REJT",
    "Canc": "CAND",
    "PdgCxl": "CPRC",
    "CxlReqd": "CACK",
}
_REFERENCES = ("AcctOwnrTxId", "CmonId", "AcctSvcrTxId", "PrcrTxId", "MktInfrstrctrTxId")
_SIDES = {"DELI": "RcvgSttlmPties", "RECE": "DlvrgSttlmPties"}
_PARTIES = ("Pty1", "Pty2", "Pty3", "Pty4", "Pty5")
_NODES_MOST = 50_000
_DEPTH_MOST = 100
_TEXT_CHARS = 1_000_000
"""The most elements, the depth and the characters of one transaction."""
_NEXT_DOCUMENT = (
    expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT],
    expat.errors.codes[expat.errors.XML_ERROR_MISPLACED_XML_PI],
)
_SHOWN_NAMES = 3
_ADVICE, _CREATED, _DTC = "sese.024", "CreDt", "DTCYID"
_CUSIP_TYPES = ("CUSP", "CUSIP", "US", "CA")
_BEGIN = re.compile(rb"<[?!A-Za-z_/]")
_PAGE_NUMBER = re.compile(r"[0-9]{1,5}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class _Refused(Exception):
    """Why a document is not read any further."""


class _Document:
    """One XML document while it is read, with one message or several.

    A transaction leaves memory as it ends, and so does what stands outside the messages.
    """

    def __init__(self, line: int, pages: Pages) -> None:
        self.message: str | None = None
        self.stopped = 0
        """Where the parser stopped in the data that it was given last."""
        self._pages = pages
        self._said = False
        """A message was read, or named."""
        self._content: list[str] = []
        """The names in the present element Document; empty after a message that is read."""
        self.found: list[Read] = []
        self._base = line
        self._fed = 0
        self._stack: list[Node] = []
        self._nodes = self._chars = self._transactions = 0
        self._names: list[str] = []
        """The first names of the document, for a message that finops does not read."""
        self._root: Node | None = None
        self._stated_on: str | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._read_text
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    @property
    def line(self) -> int:
        """The line of the file where the parser stands."""
        return self._base + self._parser.CurrentLineNumber - 1

    @property
    def is_empty(self) -> bool:
        """No element was read."""
        return not self._names

    def feed(self, data: memoryview) -> int | None:
        """Parse `data`; return where the next document begins in it, if it does.

        Raises _Refused for a document that is not well-formed, or too large.
        """
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            self.stopped = int(self._parser.ErrorByteIndex) - self._fed
            if error.code in _NEXT_DOCUMENT and not self.is_empty:
                return self.stopped
            why = f"line {self.line} is not well-formed XML ({expat.ErrorString(error.code)})"
            raise _Refused(why) from error
        except (LookupError, ValueError) as error:  # of the codec that the declaration names
            self.stopped = max(int(self._parser.CurrentByteIndex) - self._fed, 1)
            raise _Refused(f"its encoding cannot be read ({error})") from error
        except _Refused:
            self.stopped = int(self._parser.CurrentByteIndex) - self._fed
            raise
        self._fed += len(data)
        return None

    def end(self) -> None:
        """Note what the document lacks. Raises _Refused for one that is cut off."""
        if self._stack:
            raise _Refused("the file ends before the message does")
        if not self._said:
            self._name_other(self._names, self._base)

    def _name_other(self, names: list[str], line: int) -> None:
        why = f"it is no settlement status ({' / '.join(names)})"
        self.found.append(Skipped(message="XML", line=line, why=why))
        self._said = True

    def _end_message(self, root: Node) -> None:
        if not self._transactions and self.message == _ADVICE:
            self.found.append(self._make(root, None))
        elif not self._transactions:
            why = "it has no transaction"
            self.found.append(Skipped(message=str(self.message), line=root.line, why=why))
        number, last = root.word("Pgntn", "PgNb"), root.word("Pgntn", "LastPgInd")
        if number is not None and _PAGE_NUMBER.fullmatch(number):
            named = (("SfkpgAcct", "Id"), ("StmtGnlDtls", "StmtDtTm"))
            key = (self.message, *(root.word(*path) for path in named))
            is_last = last in ("true", "1")
            self._pages.add(str(self.message), key, int(number), is_last, root.line)
        self._root, self._transactions, self._said = None, 0, True
        self._content.clear()

    def _refuse_doctype(self, *_: object) -> None:
        raise _Refused("it declares a document type, which no ISO 20022 message has")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        node = Node(local, self.line, attributes.get("Ccy"))
        if len(self._names) < _SHOWN_NAMES:
            self._names.append(local)
        self._nodes += 1
        if self._nodes > _NODES_MOST or len(self._stack) >= _DEPTH_MOST:
            raise _Refused(f"a transaction has over {_NODES_MOST:,} elements or {_DEPTH_MOST} deep")
        if local == _DOCUMENT and self._root is None:
            self._content.clear()
        if self._root is None and len(self._content) < _SHOWN_NAMES:
            self._content.append(local)
        if self._stack:
            self._stack[-1].children.append(node)
        self._stack.append(node)
        if local in _MESSAGES:
            if self._root is not None:
                raise _Refused("a new message begins before its end")
            self.message, self._root = _MESSAGES[local], node
            self._note_version(space)

    def _read_text(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > _TEXT_CHARS:
            raise _Refused(f"a transaction has over {_TEXT_CHARS:,} characters")
        if self._stack:
            self._stack[-1].text += text

    def _note_version(self, space: str) -> None:
        found = _NAMESPACE.fullmatch(space)
        if found is None:
            why = f"its namespace is {space or 'empty'}; it is read as version {_LAST_VERSION}"
        elif not _FIRST_VERSION <= int(found[2]) <= _LAST_VERSION:
            why = f"version {found[2]} is not known; it is read as version {_LAST_VERSION}"
        else:
            return
        self.found.append(Skipped(message=str(self.message), line=self.line, why=why, is_read=True))

    def _end(self, name: str) -> None:
        node = self._stack.pop()
        if node.name == _CREATED and self._root is None:
            self._stated_on = _day(next(node.words(), None))
        if self._root is not None and self._is_transaction(node):
            self._take_transaction(node)
        if node.name == _GROUP and self._stack and self._stack[-1] is self._root:
            self._root.children.pop()  # its transactions are read
        if node is self._root:
            self._end_message(node)
        if self._root is None:
            if node.name == _DOCUMENT and self._content:
                self._name_other(self._content, node.line)
                self._content.clear()
            if self._stack:
                self._stack[-1].children.pop()
            self._nodes, self._chars = len(self._stack), 0

    def _is_transaction(self, node: Node) -> bool:
        if any(each.name == _TRANSACTION for each in node.children):
            return True
        return node.name in _HOLDERS and all(each.name != _TRANSACTION for each in self._stack)

    def _take_transaction(self, node: Node) -> None:
        self._transactions += 1
        parent = self._stack[-1] if self._stack and node is not self._root else None
        self.found.append(self._make(node, parent if parent is not self._root else None))
        if parent is not None:
            parent.children.remove(node)
        self._nodes, self._chars = len(self._stack), 0

    def _make(self, node: Node, parent: Node | None) -> SettlementStatus:
        """Make the status of a transaction; in a report it may be in `parent`."""
        details = node.first(_TRANSACTION) or node
        holder = node if parent is None or any(_statuses(node)) else parent
        stated = None if self._root is None else _day(self._root.word("StmtGnlDtls", "StmtDtTm"))
        movement = details.word("SctiesMvmntTp")
        amount = details.first("SttlmAmt") or details.first("PstngAmt")
        value = None if amount is None else amount.first("Amt") or amount
        left = details.first("RmngToBeSttldAmt", "Amt")
        is_same = left is not None and value is not None and left.currency == value.currency
        at = stated or self._stated_on
        return SettlementStatus(
            message=str(self.message),
            line=node.line,
            references=tuple(filter(None, (node.word(name) for name in _REFERENCES))),
            statuses=tuple(_statuses(holder)),
            reasons=tuple(_reasons(holder)),
            isin=details.word("FinInstrmId", "ISIN"),
            description=details.word("FinInstrmId", "Desc"),
            cusip=_cusip(details),
            quantity=_quantity(details, "SttlmQty") or _quantity(details, "PstngQty"),
            settled=_quantity(details, "PrevslySttldQty"),
            remaining=_quantity(details, "RmngToBeSttldQty"),
            movement=movement,
            amount=None if value is None else next(value.words(), None),
            currency=None if value is None else value.currency,
            remaining_amount=next(left.words(), None) if left is not None and is_same else None,
            trade_date=_day(details.word("TradDt")),
            settlement_date=_day(details.word("SttlmDt")),
            stated_on=at,
            stated_at=None if at is None else at.replace("-", ""),
            parties=tuple(_parties(details, movement)),
        )


def read_mx(file: BinaryIO, pages: Pages) -> Iterator[Read]:
    """Yield the statuses of a file of XML documents, one behind the other, one by one.

    After a document that is refused, the next XML declaration begins a new one.
    """
    document, is_lost, tail = _Document(1, pages), False, b""
    while chunk := file.read(_CHUNK_BYTES):
        data, at, tail = tail + chunk, 0, b""
        while True:
            begin = _find_next(data, at) if is_lost else _find_begin(document, data, at)
            if begin is None:
                tail = data[1 - len(_DECLARATION) :] if is_lost else b""
                break
            is_lost = False
            try:
                next_at = document.feed(memoryview(data)[begin:])
                if next_at is not None:
                    document.end()
            except _Refused as error:
                yield from _take(document)
                yield _refuse(document, error)
                at, is_lost = begin + max(document.stopped, 1), True
                document = _Document(document.line, pages)
                continue
            yield from _take(document)
            if next_at is None:
                break
            at, document = begin + next_at, _Document(document.line, pages)
    if document.is_empty:
        return
    try:
        document.end()
        yield from _take(document)
    except _Refused as error:
        yield from _take(document)
        yield _refuse(document, error)


def _refuse(document: _Document, error: _Refused) -> Skipped:
    name = document.message or "XML"
    why = f"{error}; nothing is read up to the next <?xml"
    return Skipped(message=name, line=document.line, why=why, is_damaged=True)


def _find_next(data: bytes, at: int) -> int | None:
    """Return where the next document begins after one that was refused."""
    found = data.find(_DECLARATION, at)
    return found if found >= 0 else None


def _find_begin(document: _Document, data: bytes, at: int) -> int | None:
    """Return where markup begins in `data`; text before a document is passed over."""
    if not document.is_empty:
        return at
    if data[at : at + 2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, which expat decodes
        return at
    found = _BEGIN.search(data, at)
    if found is None:
        return None
    declared = data.find(_DECLARATION, found.start())
    if declared >= 0 and b"</" not in data[found.start() : declared]:
        return declared  # a mail address in brackets is not an element
    return found.start()


def _take(document: _Document) -> Iterator[Read]:
    found, document.found = document.found, []
    yield from found


def _statuses(node: Node) -> Iterator[str]:
    """Yield kind and code of each status below a node."""
    for name, kind in _STATUS_KINDS.items():
        for status in node.all(name):
            for choice in status.children:
                if choice.name in _STATUS_CODES:
                    yield f"{kind}/{_STATUS_CODES[choice.name]}"
                elif choice.name == "Prtry":
                    yield f"{kind}/{choice.word('PrtrySts', 'Id') or choice.word('Id')}"


def _reasons(node: Node) -> Iterator[StatusReason]:
    """Yield the reasons of the statuses below a node, each with its narrative."""
    for name in _STATUS_KINDS:
        for status in node.all(name):
            for reason in status.all("Rsn"):
                code = reason.word("Cd") or reason.word("Id") or "NARR"
                yield StatusReason(code, reason.word("AddtlRsnInf"))


def _quantity(details: Node, name: str) -> str | None:
    """Return units or face amount of a quantity; None for an amortised value."""
    return details.word(name, "Unit") or details.word(name, "FaceAmt")


def _cusip(details: Node) -> str | None:
    """Return the CUSIP that a message names beside an ISIN, or instead of one."""
    security = details.first("FinInstrmId")
    for other in security.all("OthrId") if security is not None else ():
        if other.word("Tp") in _CUSIP_TYPES:
            return other.word("Id")
    return None


def _parties(details: Node, movement: str | None) -> Iterator[Party]:
    """Yield the parties of the other side, the nearest first."""
    side = details.first(_SIDES.get(movement or "", ""))
    for role in _PARTIES if side is not None else ():
        party = None if side is None else side.first(role)
        if party is not None:
            own = party.first("PrtryId")
            is_dtc = own is not None and own.word("Issr") == _DTC
            yield Party(
                role=role,
                bic=party.word("AnyBIC") or party.word("BICFI") or party.word("BIC"),
                dtc=own.word("Id") if own is not None and is_dtc else None,
                name=party.word("Nm"),
            )


def _day(text: str | None) -> str | None:
    """Read the day of a date, or of a moment with any time zone."""
    found = _DATE.match(text or "")
    return found[0] if found else None
