"""Load a knowledge base folder: `kb/` of the checkout, its copy in the wheel, or the desk's own."""

from __future__ import annotations

import hashlib
import re
import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries
from finops_cli.kb.factors import FACTORS, Factor
from finops_cli.kb.rulebook import KnowledgeBase, compile_kb
from finops_cli.version import __version__

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PACKAGE = Path(__file__).resolve().parents[1]


def bundled_dir(name: str) -> Path:
    """The folder `name` that ships with finops: inside the wheel, or at the root of a checkout."""
    shipped = _PACKAGE / "_data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def bundled_kb_dir() -> Path:
    """The knowledge base that ships with finops."""
    return bundled_dir("kb")


@cache
def load_kb(folder: Path, factors: tuple[Factor, ...] = FACTORS) -> KnowledgeBase:
    """Load the knowledge base of the `*.toml` files in `folder`, with these factors of the score.

    Raises KnowledgeError naming file and entry.
    """
    files = sorted(file for file in folder.glob("*.toml") if file.is_file())
    if not files:
        raise KnowledgeError(f"{folder}: no knowledge base here (no .toml file)")
    found: dict[str, entries.AnyEntry] = {}
    digest = hashlib.sha256()
    for file in files:
        text = file.read_bytes()
        digest.update(file.name.encode() + b"\0" + text + b"\0")
        for entry in _read(file, text):
            if entry.id in found:
                raise KnowledgeError(f"{file}: the id {entry.id} is used twice")
            found[entry.id] = entry
    for entry in found.values():
        absent = [target for target in getattr(entry, "differs", []) if target not in found]
        if absent:
            raise KnowledgeError(
                f"kb entry {entry.id}: it differs from {absent[0]}, which is not an entry"
            )
    return compile_kb(f"{__version__}+{digest.hexdigest()[:12]}", found, factors)


def _read(file: Path, text: bytes) -> list[entries.AnyEntry]:
    try:
        document: dict[str, Any] = tomllib.loads(text.decode(), parse_float=Decimal)
    except ValueError as error:
        raise KnowledgeError(f"{file}: {error}") from error
    tables = document.get("entry")
    if (
        set(document) != {"entry"}
        or not isinstance(tables, list)
        or not all(isinstance(table, dict) for table in tables)
    ):
        raise KnowledgeError(f"{file}: holds [[entry]] tables and nothing else")
    return [_entry(file, fields) for fields in tables]


def _entry(file: Path, fields: dict[str, Any]) -> entries.AnyEntry:
    name = fields.get("id", "without an id")
    try:
        entry: entries.AnyEntry = msgspec.convert(
            _exact(fields), entries.AnyEntry, builtin_types=[Decimal]
        )
    except msgspec.ValidationError as error:
        raise KnowledgeError(f"{file}: entry {name}: {error}") from error
    unknown = [part for part in entry.source.split(", ") if part not in entries.SOURCES]
    if not _DATE.fullmatch(entry.as_of):
        raise KnowledgeError(
            f"{file}: entry {name}: as_of {entry.as_of!r} must be a date, YYYY-MM-DD"
        )
    if unknown:
        raise KnowledgeError(
            f"{file}: entry {name}: source {unknown[0]!r} is not one of"
            f" {', '.join(entries.SOURCES)}"
        )
    return entry


def _exact(value: Any) -> Any:
    """Whole numbers as Decimal too, so that a table does not change its type with its last
    digit.
    """
    if isinstance(value, dict):
        return {key: _exact(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_exact(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value
