"""Write the letters of an output into a folder, with an index of what was written and why."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from finops_cli.domain.finding import Problem
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.errors import UsageError
from finops_cli.files.safe_io import whole
from finops_cli.importers.counterparties import CounterpartyFile
from finops_cli.importers.joins.inventory_file import InventoryFile
from finops_cli.kb.chapters.wording.letters import LetterKind
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.letters.compose import Addressee, Composer, Letter
from finops_cli.letters.lots import LotRow, divide_recalls
from finops_cli.letters.mail import write_message
from finops_cli.letters.parties import DeskDetails, cleared_brokers, find_addressee, sender_facts
from finops_cli.letters.rows import LetterRow
from finops_cli.letters.spool import Spool
from finops_cli.views.exports.csv_file import BOM, neutralize

INDEX = "index.csv"
_FORMS = (".txt", ".eml", ".html")
_HEAD = ("letter", "kind", "to", "participant", "email", "blanks", "fail_id", "cusip", "shares")
_NAME = re.compile(rf"(?:{'|'.join(get_args(LetterKind))})-[A-Za-z0-9._-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")
_DIGEST_CHARS = 6


class LetterFiles(NamedTuple):
    """The files beside an output that letters take facts from."""

    desk: DeskDetails
    counterparties: CounterpartyFile | None
    inventory: InventoryFile | None


class Written(NamedTuple):
    """The letters that were written."""

    letters: Counter[str]
    """The letters of each kind."""
    with_blanks: int
    without: int
    """Fails that get no letter of a kind, with the reason in the index."""


class _Draft(NamedTuple):
    name: str
    kind: LetterKind
    addressee: Addressee
    facts: Mapping[str, str | None]
    rows: Sequence[LetterRow]


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder. Raises UsageError where it holds files; `overwrite` deletes old letters."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        present = sorted(folder.iterdir())
    except OSError as error:
        cure = "give a folder that you may write to"
        raise UsageError(f"{folder}: {error.strerror}", cure) from error
    if present and not overwrite:
        raise UsageError(
            f"{folder} holds files already, such as {present[0].name}",
            "give another folder with -o, or --overwrite to replace the letters in it",
        )
    for path in present:
        is_ours = path.name == INDEX or (path.suffix in _FORMS and _NAME.fullmatch(path.stem))
        if is_ours and (path.is_file() or path.is_symlink()):
            path.unlink()


class ComposedLetter(NamedTuple):
    """A letter, the name of its files, and the rows that ask for it."""

    name: str
    letter: Letter
    rows: Sequence[LetterRow]


def compose_letters(
    spool: Spool, kb: KnowledgeBase, files: LetterFiles, as_of: str | None
) -> Iterator[ComposedLetter]:
    """Yield each letter of the rows in `spool`, by kind, then by party."""
    composer = Composer(kb.letters)
    shared = {**sender_facts(files.desk), "date": None if as_of is None else as_of[:10]}
    taken: set[str] = set()
    for draft in _drafts(spool, kb, files):
        facts = shared | dict(draft.facts)
        letter = composer.compose(draft.kind, draft.addressee, facts, draft.rows)
        yield ComposedLetter(_free_name(draft.name, taken), letter, draft.rows)


def write_letters(
    spool: Spool,
    folder: Path,
    kb: KnowledgeBase,
    files: LetterFiles,
    as_of: str | None,
) -> Written:
    """Write each letter as text, as an e-mail message and as HTML, and the index."""
    counts: Counter[str] = Counter()
    with_blanks = without = 0
    with whole(folder / INDEX) as index:
        out = io.TextIOWrapper(index, "utf-8", newline="", write_through=True)
        write = csv.writer(out).writerow
        write([f"{BOM}{_HEAD[0]}", *_HEAD[1:], "why"])
        for composed in compose_letters(spool, kb, files, as_of):
            letter = composed.letter
            _write_forms(folder / composed.name, letter, files.desk.email, as_of)
            counts[letter.kind] += 1
            with_blanks += bool(letter.blanks)
            for row in composed.rows:
                write(_index_row(composed, row))
        for each in spool.without():
            without += 1
            write([*[""] * 6, neutralize(each.fail_id), "", "", neutralize(each.why)])
        out.detach()
    return Written(counts, with_blanks, without)


def _index_row(composed: ComposedLetter, row: LetterRow) -> list[str]:
    letter, to = composed.letter, composed.letter.addressee
    texts = (composed.name, letter.kind, to.name, to.participant, to.email, str(letter.blanks))
    facts = (row.fail_id, str(row.cells["cusip"]), str(row.cells["qty"] or ""), row.why)
    return [neutralize(text or "") for text in (*texts, *facts)]


def _write_forms(path: Path, letter: Letter, sender: str | None, as_of: str | None) -> None:
    contents = (letter.text.encode(), write_message(letter, sender, as_of), letter.html.encode())
    for suffix, content in zip(_FORMS, contents, strict=True):
        with whole(path.with_name(f"{path.name}{suffix}")) as file:
            file.write(content)


def _drafts(spool: Spool, kb: KnowledgeBase, files: LetterFiles) -> Iterator[_Draft]:
    for group in spool.groups():
        rows = spool.rows(group)
        if group.kind == "recall":
            yield from _recall_drafts(group.key, rows, kb, files)
        elif group.kind == "rule_204c":
            for number, broker in enumerate(cleared_brokers(files.desk), start=1):
                party = broker.participant or f"broker-{number}"
                yield _Draft(_name(group.kind, party), group.kind, broker, {}, rows)
        else:
            named = next((row.name for row in rows if row.name), None)
            addressee = find_addressee(group.key, named, files.counterparties)
            yield _Draft(_name(group.kind, group.key), group.kind, addressee, {}, rows)


def _recall_drafts(
    cusip: str, rows: Sequence[LetterRow], kb: KnowledgeBase, files: LetterFiles
) -> Iterator[_Draft]:
    """Yield one notice for each loan of a security, then one for shares without a loan."""
    lines = _loans(cusip, files.inventory)
    by_lot: dict[str | None, list[LotRow]] = {}
    for divided in divide_recalls(rows, lines, kb):
        lot = divided.row.lot if divided.lot is None else divided.lot.id
        by_lot.setdefault(lot, []).append(divided)
    for lot, members in by_lot.items():
        line, first = members[0].lot, members[0].row
        notice = None if line is None or line.notice_days is None else str(line.notice_days)
        addressee = find_addressee(first.recipient, None, files.counterparties)
        name = _name("recall", f"{cusip}-{lot or 'unnamed'}")
        shown = [each.row for each in members]
        yield _Draft(name, "recall", addressee, {"lot": lot or None, "notice": notice}, shown)


def _loans(cusip: str, inventory: InventoryFile | None) -> list[InventoryLine]:
    found = [] if inventory is None else inventory.find_lines(cusip)
    if isinstance(found, Problem):
        raise UsageError(found.message, "correct the inventory file, or leave --inventory out")
    return found


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name that no letter has yet; some file systems do not tell `L1` from `l1`."""
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


def _name(kind: LetterKind, party: str) -> str:
    """Return a file name without characters that a shell, a folder or Windows refuses."""
    safe = _UNSAFE.sub("_", party)
    if safe != party or not safe.strip("."):
        safe += "-" + hashlib.sha256(party.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{kind}-{safe}"
