"""Rule sets that are kept by the digest of their files, so that an old output can be judged.

Each set is a folder that is named by its SHA-256. It has the `*.toml` files and `saved.json`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import KnowledgeError, UsageError
from finops_cli.kb.load import bundled_kb_dir, digest_rules, load_kb

SAVED = "saved.json"
_SHORTEST = 8
"""Digits that a digest is given by, at least."""
_LONGEST = 64
_HEX = frozenset("0123456789abcdef")


class SavedNote(Struct, frozen=True, kw_only=True):
    """When a rule set was saved, and by which release."""

    version: str
    """As output lines name the rules."""
    finops: str
    saved: str
    """UTC."""


class RuleSet(NamedTuple):
    """A rule set that was kept."""

    sha256: str
    folder: Path
    note: SavedNote | None
    """None for rules that ship with finops, or whose note cannot be read."""


def default_store() -> Path:
    """Return the folder in which `finops kb save` keeps rules: in the user's data folder."""
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local")
    elif sys.platform == "darwin":
        data = home / "Library/Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return data / "finops" / "rules"


def save_rules(folder: Path, store: Path, finops: str, now: datetime) -> tuple[RuleSet, bool]:
    """Keep the rules of `folder` in `store`; also return false where they were kept already.

    `now` is the time in UTC, `finops` the release that saves. Raises KnowledgeError for rules that
    cannot be used.
    """
    kb = load_kb(folder)
    target = store / kb.sha256
    if target.is_dir():
        _refuse_changed(target)
        return RuleSet(kb.sha256, target, _read_note(target)), False
    if store.exists() and not store.is_dir():
        raise UsageError(f"{store}: is not a folder", "name a folder with --kb-store DIR")
    note = SavedNote(version=kb.version, finops=finops, saved=now.isoformat(timespec="seconds"))
    store.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".saving-", dir=store))
    try:
        for file in sorted(folder.glob("*.toml")):
            if file.is_file():
                shutil.copyfile(file, part / file.name)
        (part / SAVED).write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
        if digest_rules(part) != kb.sha256:
            raise KnowledgeError(f"{folder}: was changed while it was saved", "save it again")
        try:
            part.rename(target)
        except OSError:  # another process saved the same rules meanwhile
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return RuleSet(kb.sha256, target, note), True


def list_rules(store: Path) -> list[RuleSet]:
    """List the rule sets of `store`, the one that was saved last at the end."""
    if not store.is_dir():
        return []
    found = [
        RuleSet(each.name, each, _read_note(each))
        for each in store.iterdir()
        if each.is_dir() and len(each.name) == _LONGEST and _HEX.issuperset(each.name)
    ]
    return sorted(found, key=lambda each: ("" if each.note is None else each.note.saved, each[0]))


def find_rules(digits: str, store: Path) -> RuleSet | None:
    """Find rules by the first digits of their digest, among those kept and those that ship.

    None if no set is kept. Raises KnowledgeError where files were changed since they were kept.
    """
    shipped = bundled_kb_dir()
    sha256 = digest_rules(shipped)
    if sha256.startswith(digits):
        return RuleSet(sha256, shipped, None)
    for each in list_rules(store):
        if each.sha256.startswith(digits):
            _refuse_changed(each.folder)
            return each
    return None


def require_rules(text: str, store: Path) -> RuleSet:
    """Find rules by their digest or by their name in an output line.

    Raises UsageError if no set is kept.
    """
    digits = text.strip().lower().rpartition("+")[2]
    if len(digits) < _SHORTEST or len(digits) > _LONGEST or not _HEX.issuperset(digits):
        raise UsageError(
            f"{text} is not a digest of rules. Expected {_SHORTEST} to {_LONGEST} digits, 0-9 and"
            " a-f.",
            "take it from kb in the provenance of a line, or from the note beside an output",
        )
    found = find_rules(digits, store)
    if found is None:
        raise UsageError(
            f"{store}: has no rules {digits}",
            "name another store with --kb-store DIR; `finops kb saved` lists what was kept, and"
            " `finops --kb DIR kb save` keeps rules",
        )
    return found


def _refuse_changed(folder: Path) -> None:
    if digest_rules(folder) != folder.name:
        raise KnowledgeError(
            f"{folder}: was changed since it was saved: its files have another digest",
            "delete the folder, and save the rules again from where they came",
        )


def _read_note(folder: Path) -> SavedNote | None:
    try:
        return msgspec.json.decode((folder / SAVED).read_bytes(), type=SavedNote)
    except (OSError, *UNREADABLE):
        return None
