"""Read files of market messages into fail records: the last status of each instruction counts."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from finops_cli.domain.finding import Damage, Problem
from finops_cli.errors import UsageError
from finops_cli.files.seen_ids import SeenIds
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.counterparties import CounterpartyFile
from finops_cli.importers.messages.mt_statuses import read_mt
from finops_cli.importers.messages.mx_statuses import read_mx
from finops_cli.importers.messages.pages import Pages
from finops_cli.importers.messages.records import (
    find_reference,
    is_without_news,
    judge,
    make_record,
)
from finops_cli.importers.messages.status import Cancelled, Read, SettlementStatus, Skipped
from finops_cli.importers.stream import FileRead, Item, Note, admit
from finops_cli.kb.chapters.messages import MessageRules
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.verify.schemas import unusable

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_HEAD_BYTES = 4096
_ISO = b"urn:iso:std:iso:20022"
_MARKUP, _BLOCK = re.compile(rb"<[?!A-Za-z]"), re.compile(rb"\{1:|:16R:")
_DECODER = msgspec.json.Decoder(SettlementStatus)
_TABLE = (
    "CREATE TABLE statuses (place INTEGER PRIMARY KEY, file INTEGER, key TEXT UNIQUE,"
    " message TEXT, body BLOB)"
)
_BY_MESSAGE = "CREATE INDEX by_message ON statuses (message)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageImport:
    """The facts of a call that messages lack."""

    inputs: InputPolicy
    counterparties: CounterpartyFile | None = None
    moment: str | None = None
    """The day of --as-of, YYYY-MM-DD."""
    complete: Callable[[dict[str, Any]], list[Problem]] | None = None
    """Adds the facts of other files to a record."""


def import_messages(files: Sequence[Path], given: MessageImport) -> Iterator[Item]:
    """Yield the records of the fails in `files`, and why other messages gave none.

    A later status of an instruction replaces an earlier one, and a cancellation removes it, so that
    records come after the last file was read; they wait on disk.
    """
    with ExitStack() as stack:
        spool = stack.enter_context(closing(_Spool(given.inputs.kb.messages)))
        pages = Pages()
        for number, path in enumerate(files):
            count = found = 0
            pages.path = str(path)
            for read in _read_file(path, pages):
                found += 1
                count += isinstance(read, SettlementStatus)
                yield from spool.take(number, str(path), read)
            if not found:
                yield Damage(str(path), 1, (_NOTHING,))
            yield FileRead(str(path), count)
        for at, lost in pages.missing():
            yield Damage(at, lost.line, (_lost(lost),))
        yield from spool.notes()
        seen = stack.enter_context(SeenIds())
        for number, status in spool.statuses():
            yield from _item(str(files[number]), status, given, seen)


def _item(
    path: str, status: SettlementStatus, given: MessageImport, seen: SeenIds
) -> Iterator[Item]:
    rules = given.inputs.kb.messages
    verdict = judge(status, rules, given.moment)
    if verdict is not None:
        yield Note(path, f"line {status.line}, {status.message}, not a fail: {verdict.why}")
        return
    made = make_record(status, rules, given.counterparties)
    problems = made if isinstance(made, list) else []
    if isinstance(made, dict) and given.complete is not None:
        problems = given.complete(made)
    if problems or isinstance(made, list):
        yield Damage(path, status.line, tuple(problems))
        return
    yield admit(made, path, status.line, seen, given.inputs)


class _Spool:
    """The last status of each instruction, on disk."""

    def __init__(self, rules: MessageRules) -> None:
        self._rules = rules
        self._table = TemporaryTable(_TABLE, _BY_MESSAGE)
        self._place = 0
        self._replaced = self._older = 0

    def close(self) -> None:
        """Delete the statuses."""
        self._table.close()

    def take(self, file: int, path: str, read: Read) -> Iterator[Item]:
        """Keep a status; yield a remark about anything else."""
        if isinstance(read, Skipped):
            text = f"{read.message}: {read.why}"
            if read.is_damaged:
                yield Damage(path, read.line, (_lost(read),))
            else:
                yield Note(path, f"line {read.line}, {text}{'' if read.is_read else '; skipped'}")
        elif isinstance(read, Cancelled):
            yield self._cancel(path, read)
        else:
            yield from self._keep(file, path, read)

    def _keep(self, file: int, path: str, status: SettlementStatus) -> Iterator[Note]:
        """Keep a status, unless the one before it is later or says more of settlement."""
        self._place += 1
        key = find_reference(status, self._rules) or f"\0{self._place}"
        found = self._table.select("SELECT body FROM statuses WHERE key = ?", (key,))
        before = _DECODER.decode(found[0][0]) if found else None
        if before is not None and is_without_news(status, before, self._rules):
            shown = ", ".join(status.statuses)
            text = f"{shown} says nothing about settlement; the status before it counts"
            yield Note(path, f"line {status.line}, {status.message}: {text}")
            return
        is_news = before is None or is_without_news(before, status, self._rules)
        if before is not None and not is_news and _is_earlier(status, before):
            self._older += 1
            return
        values = (self._place, file, key, status.message_reference, msgspec.json.encode(status))
        self._replaced += before is not None
        self._table.insert("INSERT OR REPLACE INTO statuses VALUES (?, ?, ?, ?, ?)", values)

    def _cancel(self, path: str, read: Cancelled) -> Note:
        known = self._table.select("SELECT 1 FROM statuses WHERE message = ?", (read.reference,))
        self._table.insert("DELETE FROM statuses WHERE message = ?", (read.reference,))
        found = f"{len(known):,} statuses of it are left out" if known else "it is not before it"
        return Note(
            path, f"line {read.line}, {read.message} cancels message {read.reference}: {found}"
        )

    def notes(self) -> Iterator[Note]:
        """Say how many statuses a later one has replaced."""
        if self._replaced:
            text = f"{self._replaced:,} statuses were replaced by later ones of the instruction"
            yield Note("statuses", text, is_summary=True)
        if self._older:
            text = f"{self._older:,} statuses are left out: an earlier message has a later one"
            yield Note("statuses", text, is_summary=True)

    def statuses(self) -> Iterator[tuple[int, SettlementStatus]]:
        """Yield file and status, in the order of the last message of each instruction."""
        for file, body in self._table.stream("SELECT file, body FROM statuses ORDER BY place"):
            yield file, _DECODER.decode(body)


def _is_earlier(status: SettlementStatus, other: SettlementStatus) -> bool:
    """Return true where a status was stated before `other`, as exactly as both say."""
    one, two = status.stated_at or "", other.stated_at or ""
    shared = min(len(one), len(two))
    return one[:shared] < two[:shared]


_NOTHING = unusable(
    "schema.format", "file", "no market message", "MT548, MT537, sese.024 or semt.018"
)


def _lost(read: Skipped) -> Problem:
    return unusable("schema.format", read.message, read.why, "a whole message; ask for it again")


def _read_file(path: Path, pages: Pages) -> Iterator[Read]:
    """Yield what a file states. Raises UsageError for a file that cannot be read as messages."""
    with _open(path) as file:
        head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # type: ignore[attr-defined]
        yield from read_mx(file, pages) if _is_xml(head) else read_mt(file, pages)


def _is_xml(head: bytes) -> bool:
    """Return true for XML: markup before any block of an MT message.

    A `<` of text before a block, such as the address of a mail, is not markup.
    """
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, which no MT message has
        return True
    markup, block = _MARKUP.search(head), _BLOCK.search(head)
    return markup is not None and (block is None or _ISO in head[: block.start()])


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "give a file") from error
    with file:
        if not path.is_file():
            raise UsageError(f"{path}: is not a file", "give a file of messages")
        head = file.peek(len(_ZIP))
        if head.startswith(_ZIP):
            raise UsageError(f"{path}: is a ZIP file", "unpack it, and give the files in it")
        if not head.startswith(_GZIP):
            yield file
            return
        try:
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, OSError) as error:
            raise UsageError(f"{path}: is a damaged gzip file ({error})", "get it again") from error
