"""The report of an audit, for a person and as data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from msgspec import Struct

from finops_cli.audit.recorded import RecordedRun
from finops_cli.audit.verify import VerifiedPart, is_sound, verify
from finops_cli.files.digests import sha256_of_file
from finops_cli.pipeline.evidence import RunPart
from finops_cli.pipeline.resume import note_path

_LABEL = 10
_STATE = 13
_UNKNOWN = "not recorded"


class AuditReport(Struct, frozen=True, kw_only=True):
    """The report of an audit: author, time and means of an output, and changes since then."""

    output: str
    sound: bool
    """True where nothing was changed, and everything that could be compared was found."""
    complete: bool
    parts: tuple[RunPart, ...]
    rules: str
    """As the lines name them."""
    rules_sha256: str
    backend: str
    models: dict[str, str | None]
    input: str
    input_sha256: str
    statuses: dict[str, int]
    note_sha256: str
    """Of the note itself: a copy of it elsewhere shows whether the note was changed."""
    verified: list[VerifiedPart]


def make_report(run: RecordedRun) -> AuditReport:
    """Verify an output, and collect what its note says. Raises UsageError without evidence."""
    evidence, made = run.evidence, run.fingerprint
    verified = verify(run)
    return AuditReport(
        output=str(run.output),
        sound=run.note.complete and is_sound(verified),
        complete=run.note.complete,
        parts=evidence.parts,
        rules=run.rules_name,
        rules_sha256=made.kb,
        backend=made.backend,
        models=dict(made.models),
        input=evidence.files[0].path if evidence.files else "",
        input_sha256=made.input_sha256,
        statuses={} if evidence.output is None else evidence.output.statuses,
        note_sha256=sha256_of_file(note_path(run.output))[0],
        verified=verified,
    )


def render_report(report: AuditReport) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"{report.output}: {'sound' if report.sound else 'NOT SOUND'}"
    for label, text in _list_facts(report):
        yield f"  {label:<{_LABEL}}{_clean(text)}"
    yield ""
    for each in report.verified:
        yield f"  {each.part:<{_LABEL}}{each.state:<{_STATE}}{_clean(each.text)}"


def _clean(text: str) -> str:
    """Replace what a terminal would obey: a note may have been written by anybody."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _list_facts(report: AuditReport) -> Iterator[tuple[str, str]]:
    for part in report.parts:
        whom = f"{part.user or _UNKNOWN} on {part.host or _UNKNOWN}"
        started, ended = part.started or _UNKNOWN, part.ended or _UNKNOWN
        yield "run by", whom
        yield "when", f"{started} to {ended}"
        yield "command", shlex.join(["finops", *part.arguments])
        yield "in", part.folder or _UNKNOWN
        yield "with", f"finops {part.finops}, Python {part.python}, {part.platform}"
    models = ", ".join(f"{stage} {name}" for stage, name in report.models.items() if name)
    yield "backend", report.backend + (f": {models}" if models else ", no model")
    yield "rules", report.rules
    counts = ", ".join(f"{count:,} {status}" for status, count in report.statuses.items())
    yield "lines", counts or _UNKNOWN
    if not report.complete:
        yield "note", "the run is not complete; continue it with --resume"
    yield "note", f"sha256 {report.note_sha256}"
