"""Load a knowledge base folder: `kb/` of the checkout, its copy in the wheel, or the desk's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from finops_cli.domain import exact_json
from finops_cli.domain.confidence import CONFIDENCES
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.errors import KnowledgeError, UsageError
from finops_cli.files.settings_text import parse_toml, read_settings
from finops_cli.kb import entries
from finops_cli.kb.factors import FACTORS, Factor
from finops_cli.kb.rulebook import KnowledgeBase, compile_kb
from finops_cli.version import __version__

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ENTRY = re.compile(r"kb entry ([^\s:]+)")
"""The beginning of the message about an entry."""
_CURE = "correct it in {}; without --kb, `finops kb show ID` shows the bundled entry"
_NAMED_DIGITS = 12
"""The digits of the digest in `KnowledgeBase.version`, which each output line has."""
_NAME = re.compile(rf"[^+\s]+\+([0-9a-f]{{{_NAMED_DIGITS}}})")
PARSED = "parsed.json"
"""The bundled files in JSON, in their folder."""
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
    try:
        return _load(folder, factors)
    except KnowledgeError as error:
        error.cure = error.cure or _CURE.format(folder)
        raise


def digest_rules(folder: Path) -> str:
    """Return the SHA-256 of the names and the content of the `*.toml` files in `folder`.

    Raises KnowledgeError where the folder has none.
    """
    return _digest({file: _read_bytes(file) for file in _list_files(folder)})


def _digest(texts: Mapping[Path, bytes]) -> str:
    digest = hashlib.sha256()
    for file, text in texts.items():
        digest.update(file.name.encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def _load(folder: Path, factors: tuple[Factor, ...]) -> KnowledgeBase:
    texts = {file: _read_bytes(file) for file in _list_files(folder)}
    found: dict[str, entries.AnyEntry] = {}
    file_of: dict[str, Path] = {}
    for file, text in texts.items():
        for entry in _read(file, text):
            if entry.id in found:
                raise KnowledgeError(
                    f"{file}: the id {entry.id} is used twice", "remove or rename one of the two"
                )
            found[entry.id], file_of[entry.id] = entry, file
    for entry in found.values():
        absent = [target for target in getattr(entry, "differs", []) if target not in found]
        if absent:
            raise KnowledgeError(
                f"kb entry {entry.id}: it differs from {absent[0]}, which is not an entry"
            )
    try:
        sha256 = _digest(texts)
        return compile_kb(name_rules(__version__, sha256), found, factors, sha256)
    except KnowledgeError as error:
        named = _ENTRY.match(str(error))
        file_named = file_of.get(named[1]) if named else None
        if file_named is None:  # an entry that is missing is in no file
            raise
        raise KnowledgeError(f"{file_named}: {error}", error.cure) from error


def name_rules(finops: str, sha256: str) -> str:
    """Name rules by the release that applies them and the beginning of their digest."""
    return f"{finops}+{sha256[:_NAMED_DIGITS]}"


def named_digits(name: str) -> str | None:
    """Return the digits of the digest in a name of rules; None for another text."""
    found = _NAME.fullmatch(name)
    return None if found is None else found[1]


def _list_files(folder: Path) -> list[Path]:
    if not folder.exists():
        raise KnowledgeError(
            f"{folder}: no such folder", "give the folder of a knowledge base: --kb DIR"
        )
    if not folder.is_dir():
        raise KnowledgeError(f"{folder}: is a file", f"give its folder: --kb {folder.parent}")
    next(folder.iterdir(), None)  # raises PermissionError, where `glob` finds nothing
    files = sorted(file for file in folder.glob("*.toml") if file.is_file())
    if not files:
        raise KnowledgeError(
            f"{folder}: no knowledge base here (no .toml file)",
            f"copy the bundled one and change it: cp -r {bundled_kb_dir()} {folder}",
        )
    return files


def _read_bytes(file: Path) -> bytes:
    try:
        return read_settings(file)
    except UsageError as error:
        raise KnowledgeError(str(error), error.cure) from error


def _read(file: Path, text: bytes) -> list[entries.AnyEntry]:
    bundled = _bundled_documents().get(hashlib.sha256(text).hexdigest())
    try:
        document = parse_rules(text) if bundled is None else exact_json.decode(bytes(bundled))
    except ValueError as error:
        raise KnowledgeError(f"{file} is not TOML: {describe_decode_error(error)}") from error
    tables = document.get("entry")
    if (
        set(document) != {"entry"}
        or not isinstance(tables, list)
        or not all(isinstance(table, dict) for table in tables)
    ):
        others = ", ".join(sorted(set(document) - {"entry"}))
        found = f"it has {others}" if others else "it has none"
        raise KnowledgeError(f"{file}: {found}. Expected [[entry]] tables and nothing else.")
    return [_entry(file, fields) for fields in tables]


@cache
def _bundled_documents() -> Mapping[str, msgspec.Raw]:
    """Read the bundled files as JSON, by the digest of their text: TOML takes 20 times as long.

    `python -m tools.generate_docs` writes the file. A file of rules that it lacks is read as TOML.
    """
    file = bundled_kb_dir() / PARSED
    if not file.is_file():
        return {}
    return msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])


def parse_rules(text: bytes) -> dict[str, Any]:
    """Parse a file of rules; numbers with a fraction become Decimal. Raises ValueError."""
    return parse_toml(text.decode(), parse_float=Decimal)


def _entry(file: Path, fields: dict[str, Any]) -> entries.AnyEntry:
    name = f"entry {fields['id']}" if "id" in fields else "an entry without an id"
    if fields.get("confidence", CONFIDENCES[0]) not in CONFIDENCES:
        raise KnowledgeError(
            f"{file}: {name}: confidence is {fields['confidence']}. Expected one of:"
            f" {', '.join(CONFIDENCES)}."
        )
    try:
        entry: entries.AnyEntry = msgspec.convert(
            _exact(fields), entries.AnyEntry, builtin_types=[Decimal]
        )
    except msgspec.ValidationError as error:
        fault = describe_decode_error(error, _known_keys(fields))
        raise KnowledgeError(f"{file}: {name}: {fault}") from error
    unknown = [part for part in entry.source.split(", ") if part not in entries.SOURCES]
    for field in ("as_of", "effective_from", "effective_to"):
        value = getattr(entry, field)
        if value is not None and not _is_day(value):
            raise KnowledgeError(
                f"{file}: {name}: {field} is {value}. Expected a day that exists, YYYY-MM-DD."
            )
    if unknown:
        raise KnowledgeError(
            f"{file}: {name}: source is {unknown[0]}. Expected one of:"
            f" {', '.join(entries.SOURCES)}."
        )
    return entry


def _is_day(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _known_keys(fields: dict[str, Any]) -> list[str]:
    """The keys that an entry of this kind may have."""
    for kind in entries.AnyEntry.__args__:
        if kind.__struct_config__.tag == fields.get("kind"):
            return ["kind", *kind.__struct_fields__]
    return ["kind", *entries.Entry.__struct_fields__]


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
