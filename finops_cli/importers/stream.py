"""The items that an importer yields: fail records as JSON lines, and reports of the rest."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.finding import Damage
from finops_cli.files.seen_ids import SeenIds, duplicate
from finops_cli.pipeline.inputs import NO_MOMENT, InputPolicy, bundled_inputs, lacks_fields
from finops_cli.pipeline.parse import parse_fail_line


class FileRead(Struct, frozen=True):
    """The end of a file; `rows` counts all its rows, damaged ones too."""

    file: str
    rows: int


class Gap(Struct, frozen=True):
    """Two successive dates of the files, with settlement days between them that no file has."""

    after: str
    before: str


class TableNotes(Struct, frozen=True):
    """Rows and cells of a file that were left out, repaired or assumed: a sentence for each."""

    file: str
    notes: tuple[str, ...]


class Note(Struct, frozen=True):
    """Faults of a file that were tolerated, and its assumptions, for stderr."""

    file: str
    text: str
    is_summary: bool = False
    """It ends an import, and --quiet leaves it out."""


Item = bytes | Damage | FileRead | Gap | Note | TableNotes
"""bytes: a fail record as one line of JSON, without its newline."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def admit(
    record: dict[str, Any],
    file: str,
    line: int,
    seen: SeenIds | None = None,
    inputs: InputPolicy | None = None,
) -> bytes | Damage:
    """Encode `record` as a line of JSON, after completing and checking it as `finops run` does.

    An absent fact is derived or assumed, and named in `origin`. `inputs` None is the policy of the
    bundled rules without a moment. An age that only the moment is missing for stays absent: the run
    has the moment (`--as-of`).

    `seen` are the names of the records before it, all of one file; a record that repeats one is
    refused. None is for a source whose names cannot repeat.
    """
    lacks_age = False
    if lacks_fields(record):
        completed = (inputs or bundled_inputs()).complete(record)
        lacks_age = [each.path for each in completed.problems] == [NO_MOMENT]
        if lacks_age or not completed.problems:
            record = completed.record
    encoded = _ENCODER.encode(record)
    checked = _ENCODER.encode({**record, "age_days": 0}) if lacks_age else encoded
    parsed = parse_fail_line(checked, inputs)
    problems = parsed.problems
    if seen is not None and not problems and parsed.fail_id is not None:
        repeated = seen.register([(parsed.fail_id, line)])
        problems = [duplicate(parsed.fail_id, first) for first in repeated.values()]
    return Damage(file, line, tuple(problems)) if problems else encoded


def nest(fields: dict[str, Any]) -> dict[str, Any]:
    """Turn dotted names into objects: inventory.box_qty becomes {"inventory": {"box_qty": ...}}."""
    record: dict[str, Any] = {}
    for field, value in fields.items():
        outer, dot, inner = field.partition(".")
        if dot:
            record.setdefault(outer, {})[inner] = value
        else:
            record[field] = value
    return record
