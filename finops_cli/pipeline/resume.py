"""A run that can be killed at any moment and resumed.

The output is its own journal, and a note beside it, `OUT.run.json`, records what it was made from.
The note is written as a whole after the output is emptied and before its first line. An incomplete
last line is cut off. An output line depends only on its input line, the knowledge base and the
backend. So n complete output lines mean that n input lines are finished.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import ResumeRefused
from finops_cli.files.safe_io import for_owner_unlinked, refuse_to_replace
from finops_cli.files.terminal import name_in_utf8
from finops_cli.models.protocol import ModelNames, Origin
from finops_cli.monitoring.run_counts import RunCounts
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.evidence import Evidence, FileDigest, list_changed_files


class Fingerprint(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that an output depends on.

    Two runs with equal fingerprints write equal lines, except for latencies.
    """

    command: str
    finops: str
    input_bytes: int
    input_sha256: str
    input_kind: str
    mapping: str | None
    joined: str | None
    kb: str
    """The SHA-256 of the rules."""
    backend: str
    models: ModelNames
    digests: ModelNames | None
    prompt_sha256: str | None
    settings: str | None
    keeps_raw: bool
    guard: str | None
    timed: bool
    strict_input: bool
    clock: str | None
    book: str | None = None
    options: str | None = None


_NAMES = {
    "command": "the command",
    "finops": "the version of finops",
    "input_bytes": "the length of the input",
    "input_sha256": "the content of the input",
    "input_kind": "the kind of the input",
    "mapping": "the mapping of its columns (--map)",
    "joined": "the content of the joined files",
    "kb": "the rules (kb)",
    "backend": "the backend",
    "models": "the models",
    "digests": "the content of the models",
    "prompt_sha256": "the prompts",
    "settings": "the settings of the models",
    "keeps_raw": "--keep-raw",
    "guard": "what becomes of free text (--guard)",
    "timed": "--timing",
    "strict_input": "--strict-input",
    "clock": "the clock (--clock, --as-of, --calendar)",
    "book": "the book (--inventory, --sent, --borrow-budget, --prefer)",
    "options": "the options of the texts (--field, --split, --sentiment ...)",
}


class BookNote(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The facts that a later plan of the book needs to copy lines of this one."""

    settings: str
    """SHA-256 of the inventory and the options that the plan depends on."""
    again: tuple[str, ...]
    """Securities that must be planned again: changes of the inventory file, or a plan that would
    not be the same with this one as `--sent`.
    """


class RunNote(Struct, frozen=True, forbid_unknown_fields=True):
    """The note beside an output: what it was made from, by whom, and whether it is complete."""

    fingerprint: Fingerprint
    complete: bool
    evidence: Evidence | None = None
    """Null in a note of an earlier release, and where the library ran."""
    book: BookNote | None = None
    """Only in the note of a plan of the whole book."""
    counts: RunCounts | None = None
    """The counts of a complete output; null in a note of an earlier release."""


def digest(source: Path) -> tuple[int, str]:
    """Return the length of `source` in bytes and its SHA-256."""
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
        return file.tell(), found.hexdigest()


def digest_file(path: Path, known: tuple[int, str] | None) -> FileDigest:
    """Describe a file that a run reads; `known` is its length and SHA-256, where they are."""
    size, sha256 = digest(path) if known is None else known
    return FileDigest(path=name_in_utf8(str(path)), size=size, sha256=sha256)


def note_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.run.json")


def write_note(output: Path, note: RunNote) -> None:
    """Replace the note in one step: a reader sees the old note or the new one."""
    path = note_path(output)
    new = path.with_name(f"{path.name}.new")
    with open(new, "wb", opener=for_owner_unlinked) as file:
        file.write(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
    new.replace(path)


def remove_note(output: Path) -> None:
    """Delete the note beside `output`, whose lines are no longer there.

    A file of that name that finops did not write stays.
    """
    path = note_path(output)
    try:
        msgspec.json.decode(path.read_bytes(), type=RunNote)
    except (OSError, *UNREADABLE):
        return
    path.unlink()


def refuse_to_lose(output: Path) -> None:
    """Raise ResumeRefused if `output` holds the answers of a run, or UsageError for other data.

    They may be hours of a model's work.
    """
    if not output.is_file() or not output.stat().st_size:
        return
    try:
        complete = msgspec.json.decode(note_path(output).read_bytes(), type=RunNote).complete
    except (FileNotFoundError, *UNREADABLE):
        refuse_to_replace(output, overwrite=False)  # not the output of a run that can be resumed
        return
    if complete:
        raise ResumeRefused(
            f"{output} is the complete output of an earlier run",
            "give --overwrite to replace it, or another file for -o",
        )
    raise ResumeRefused(
        f"{output} is from an interrupted run",
        "continue it with --resume, or start over with --overwrite",
    )


def made_from(output: Path) -> Fingerprint:
    """Read the fingerprint in the note beside `output`. Raises ResumeRefused as `read_note`."""
    return read_note(output).fingerprint


def read_note(output: Path) -> RunNote:
    """Read the note beside `output`.

    Raises ResumeRefused if the note is missing or cannot be read.
    """
    path = note_path(output)
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunNote)
    except FileNotFoundError as error:
        raise ResumeRefused(
            f"{output} has lines but no {path.name} that says what made them",
            "delete it to start over",
        ) from error
    except UNREADABLE as error:
        raise ResumeRefused(
            f"{path} cannot be read ({error})", f"delete it and {output.name} to start over"
        ) from error


def find_evidence(output: Path) -> Evidence | None:
    """Return the evidence in the note beside `output`, where there is a note that has it."""
    try:
        return read_note(output).evidence
    except ResumeRefused:  # the run says so, or starts
        return None


def is_whole(output: Path, lines: int) -> bool:
    """Return true if the note beside `output` says that it is complete with this many lines."""
    try:
        note = read_note(output)
    except ResumeRefused:
        return False
    written = None if note.evidence is None else note.evidence.output
    return note.complete and (written is None or written.lines == lines)


def restore_summary(output: Path) -> RunSummary | None:
    """Return the summary in the note beside a complete output; None if it must be counted again.

    It stands only for lines whose digest is the one that the run wrote.
    """
    note = read_note(output)
    written = None if note.evidence is None else note.evidence.output
    if not note.complete or note.counts is None or written is None:
        return None
    is_same = digest(output) == (written.size, written.sha256)
    return note.counts.to_summary() if is_same else None


def refuse_if_different(
    output: Path, fingerprint: Fingerprint, evidence: Evidence | None = None
) -> None:
    """Raise ResumeRefused that names every difference if `output` has another origin.

    `evidence` describes the run that would continue; it names the files that differ.
    """
    before = read_note(output)
    changed = list_differences(before.fingerprint, fingerprint)
    if changed:
        changed += list_changed_files(before.evidence, evidence)
        raise ResumeRefused(
            f"cannot resume {output}: it was made from something else. " + "; ".join(changed)
        )


def list_differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """List what two runs do not have in common, each with both values."""
    return [
        f"{_NAMES[name]}: was {_format_value(getattr(before, name))}, now"
        f" {_format_value(getattr(now, name))}"
        for name in Fingerprint.__struct_fields__
        if getattr(before, name) != getattr(now, name)
    ]


def _format_value(value: object) -> str:
    """Format a value of a fingerprint for a message."""
    return (
        msgspec.json.encode(value).decode()
        if isinstance(value, Struct)
        else "none"
        if value is None
        else str(value)
    )


def cut_torn_line(output: BinaryIO) -> None:
    """Cut `output` (open for reading and writing) after its last newline."""
    end = output.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        output.seek(start)
        at = output.read(end - start).rfind(b"\n")
        if at >= 0:
            output.truncate(start + at + 1)
            return
        end = start
    output.truncate(0)


def refuse_other_origin(output: Path, number: int, line: Any, rules: str, origin: Origin) -> None:
    """Raise ResumeRefused for a line that the run of the note did not write: by `rules`, `origin`.

    The note may belong to an earlier output: another command can replace an output, but not know
    its note.
    """
    made = line.provenance
    for name, written, now in (
        ("rules", made.kb, rules),
        ("backend", made.backend, origin.name),
        ("models", made.models, origin.models),
        ("prompts", made.prompt_sha256, origin.prompt_sha256),
    ):
        if written != now:
            raise ResumeRefused(
                f"{output} line {number} was made with other {name} ({written}) than its note says"
                f" ({now})",
                "start over with --overwrite",
            )
