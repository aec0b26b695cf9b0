"""The output line of `run`, `triage` and `resolve` (contracts, section 2)."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from finops_cli.clock.facts import AsOf
from finops_cli.clock.moments import format_moment
from finops_cli.domain import exact_json
from finops_cli.domain.allotment import AllottedShares, BookPlace, Change, InventoryOrigin
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import Status
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.headline import FailSummary, Headline
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.sentiment import Tone
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.files.jsonl import FilePlace
from finops_cli.models.protocol import AttemptError, ModelNames
from finops_cli.pipeline.clock import ClockProvenance
from finops_cli.pipeline.inputs import DATES, names_in

FORMAT = 1
"""The version of the shape of an output line; the changelog of the format lists them."""


class InputPlace(Struct, frozen=True):
    """A line of one of several input files."""

    file: str
    """Its name below the folder."""
    line: int
    """Counted from 1, in that file."""


class Provenance(Struct, frozen=True):
    """The origin of an answer. The last five fields are absent if they do not apply."""

    backend: str
    """`engine` or the name of a model backend."""
    models: ModelNames
    kb: str
    prompt_sha256: str | None
    attempts: int
    """The highest number of attempts of any stage."""
    latency_ms: float | None
    """Null if the run does not measure time."""
    digests: ModelNames | UnsetType = UNSET
    """Digests of the model files; absent if they are not known."""
    format_warnings: tuple[str, ...] | UnsetType = UNSET
    """Kinds of text around a model's answer that was ignored."""
    attempt_errors: tuple[AttemptError, ...] | UnsetType = UNSET
    """Each attempt that was not accepted unchanged."""
    clock: ClockProvenance | UnsetType = UNSET
    """The mode, moment and calendar of the clock; absent without one."""
    masked: tuple[str, ...] | UnsetType = UNSET
    """Kinds of personal data that the guard masked in the record; absent if no guard read it."""
    source: InputPlace | UnsetType = UNSET
    """The file of the record; absent unless the input was a folder or a pattern of files."""
    inventory: InventoryOrigin | UnsetType = UNSET
    """The inventory file of a plan of the whole book."""


class Verification(Struct, frozen=True):
    """The checker's findings about each stage's answer."""

    triage: list[Finding] | UnsetType = UNSET
    resolution: list[Finding] | UnsetType = UNSET


class LineOrigin(Struct, frozen=True, omit_defaults=True):
    """The facts of the record that it did not give."""

    derived: tuple[str, ...] = ()
    """Fields that follow from other facts (`input.derived`)."""
    assumed: tuple[str, ...] = ()
    """Fields that are assumed. The score and the plan rest on them."""
    as_of: str | None = None
    """The moment that the age was counted to, where it was derived or its dates give another."""
    stated: dict[str, str] = {}
    """The words of a rate that the text form gives as a bound, such as `>2% ADV`, by field."""


class Rejection(Struct, frozen=True):
    """The reasons why an input line could not be used."""

    line: int
    message: str
    problems: list[Problem]
    file: str | UnsetType = UNSET
    """The file that has the line; absent unless the input was a folder or a pattern of files."""


class Line(Struct, frozen=True, kw_only=True):
    """An output line of `run`, `triage` or `resolve`.

    A stage that the command does not run is left out.
    """

    fail_id: str
    status: Status
    format: int = FORMAT
    """The version of the shape of a line (docs: the format of output lines)."""
    fail: FailSummary | UnsetType | None = UNSET
    """The facts of the record; null for a line that is rejected. Absent in `resolve`."""
    headline: Headline | UnsetType | None = UNSET
    """The one thing to do; null for a line that is rejected or failed. Only in `run`."""
    triage: Triage | UnsetType | None = UNSET
    resolution: Resolution | UnsetType | None = UNSET
    verification: Verification
    provenance: Provenance
    resolution_skipped: str | UnsetType = UNSET
    allotment: tuple[AllottedShares, ...] | UnsetType | None = UNSET
    """The shares that `finops book` gives to the fail; null for one that draws on no source."""
    book: BookPlace | UnsetType | None = UNSET
    """Its place among the fails of its security; null for one that draws on no source."""
    revision: int | UnsetType = UNSET
    """The number of the batch of changes that the line follows; only with `book --follow`."""
    tone: Tone | UnsetType | None = UNSET
    """The tone of the notes, with `run --sentiment`; null for a record without notes."""
    clock: Clock | UnsetType | None = UNSET
    """The dates of the law; absent in commands that do not show them."""
    clock_skipped: str | UnsetType = UNSET
    warnings: list[Finding] | UnsetType = UNSET
    """Contradictions in the record (`input.*`), and shares that earlier lines of the run promise of
    the same sources (`book.promised_before`). They change neither the answer nor the status.
    """
    origin: LineOrigin | UnsetType = UNSET
    """Absent if the record gives every fact."""
    error: Rejection | UnsetType = UNSET
    raw: dict[str, Any] | UnsetType = UNSET


def line_origin(fail: FailRecord, as_of: AsOf | None, warnings: list[Finding]) -> LineOrigin | None:
    """Name the facts that `fail` did not give; None if it gave them all.

    `as_of` is the moment of `--as-of`.
    """
    if fail.origin is None and not warnings:
        return None
    warns_of_dates = any(each.rule == DATES for each in warnings)
    derived, assumed = names_in(fail.origin, "derived"), names_in(fail.origin, "assumed")
    has_counted = "age_days" in derived or warns_of_dates
    stated = _stated_words(fail.origin)
    if not derived and not assumed and not has_counted and not stated:
        return None
    moment = None
    if has_counted:
        given = None if fail.clock_facts is None else fail.clock_facts.as_of
        moment = given if as_of is None else format_moment(as_of.moment)
    return LineOrigin(derived, assumed, moment, stated)


def _stated_words(origin: dict[str, Any] | None) -> dict[str, str]:
    """Return the words of bounds in `origin`; of an origin of another shape none."""
    stated = None if origin is None else origin.get("stated")
    if not isinstance(stated, dict):
        return {}
    return {name: words for name, words in stated.items() if isinstance(words, str)}


def rejection(number: int, problems: list[Problem], file: str | UnsetType = UNSET) -> Rejection:
    """Reject input line `number`, counted from 1; of `file`, where the input has several."""
    place = f"line {number}: " if file is UNSET else f"{file} line {number}: "
    message = place + "; ".join(problem.message for problem in problems)
    return Rejection(number, message, problems, file)


def name_place(line: Line, place: FilePlace) -> Line:
    """Name the file of a line and its number there."""
    line = replace(
        line, provenance=replace(line.provenance, source=InputPlace(place.file, place.line))
    )
    if isinstance(line.error, Rejection):
        return replace(line, error=rejection(place.line, line.error.problems, place.file))
    return line


def encode(line: Struct) -> bytes:
    """Encode `line` as JSON with a newline. Exact numbers become JSON numbers."""
    if isinstance(line, Line) and isinstance(line.triage, Triage):
        written = _COMPONENTS.write(line.triage.score_components)
        line = replace(line, triage=replace(line.triage, score_components=written))
    return exact_json.encode(line) + b"\n"


class _WrittenComponents:
    """Score components in JSON. The rules give one object to all records with equal scores.

    Seven exact numbers take msgspec longer than the rest of a line. An object is known by its
    identity, because 1.0 and 1.00 are equal and written differently.
    """

    _MOST = 4096

    def __init__(self) -> None:
        self._known: dict[int, tuple[ScoreComponents, msgspec.Raw]] = {}

    def write(self, components: ScoreComponents) -> msgspec.Raw:
        """Return `components` in JSON."""
        known = self._known.get(id(components))
        if known is None:  # an object that is kept here keeps its id
            known = components, msgspec.Raw(exact_json.encode(components))
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[id(components)] = known
        return known[1]


_COMPONENTS = _WrittenComponents()


class _Written(Struct):
    """The last members of a line as they are written, in their order; empty if absent."""

    book: msgspec.Raw = msgspec.Raw()
    revision: msgspec.Raw = msgspec.Raw()
    clock: msgspec.Raw = msgspec.Raw()
    clock_skipped: msgspec.Raw = msgspec.Raw()
    warnings: msgspec.Raw = msgspec.Raw()
    origin: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    raw: msgspec.Raw = msgspec.Raw()


_WRITTEN = msgspec.json.Decoder(_Written)
_LAST_MEMBERS = _Written.__struct_fields__
_NO_WARNINGS = b'"warnings":[]}\n'


def add_warning(line: bytes, finding: Finding) -> bytes:
    """Put a warning behind those of an encoded line; its other members stay as they are written."""
    if line.endswith(_NO_WARNINGS):  # most lines: nothing has to be read
        return line[:-3] + exact_json.encode(finding) + line[-3:]
    start, end = _find_member(line, "warnings")
    comma = b"" if line[start:end] == b"[]" else b","
    return line[: end - 1] + comma + exact_json.encode(finding) + line[end - 1 :]


def set_change(line: bytes, change: Change) -> bytes:
    """Say in an encoded line of a book how its allotment compares with the earlier plan."""
    start, end = _find_member(line, "book")
    place = _PLACE.decode(line[start:end])
    if place is None or place.change == change:
        return line
    return line[:start] + exact_json.encode(replace(place, change=change)) + line[end:]


_PLACE = msgspec.json.Decoder(BookPlace | None)


def _find_member(line: bytes, name: str) -> tuple[int, int]:
    """Find the value of one of the last members of an encoded line: its first byte and its end."""
    written = _WRITTEN.decode(line)
    end = len(line) - len(b"}\n")
    for each in reversed(_LAST_MEMBERS):
        size = len(bytes(getattr(written, each)))
        if each == name:
            return end - size, end
        end -= len(f',"{each}":') + size if size else 0
    raise AssertionError(f"{name} is not one of the last members of a line")


def encode_value(value: object) -> str:
    """Encode a value of the domain as indented JSON, for `--json`."""
    return msgspec.json.format(exact_json.encode(value)).decode()


@cache
def _line_decoder() -> msgspec.json.Decoder[Line]:
    """Make the decoder with the first line that is read: most runs only write lines."""
    return msgspec.json.Decoder(Line)


def read_line(line: bytes) -> Line:
    """Decode an output line that was written earlier.

    Raises msgspec.DecodeError if it is not an output line.
    """
    try:
        return _line_decoder().decode(line)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
