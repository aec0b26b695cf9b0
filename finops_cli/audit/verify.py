"""Compare an output with its note: is anything of it changed since?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from finops_cli.audit.recorded import FoundFile, RecordedRun
from finops_cli.checking.other_rules import RuleSets
from finops_cli.checking.outputs import check_lines
from finops_cli.checking.run_lines import is_run_line
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.jsonl import lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.models.backends import BACKENDS
from finops_cli.models.bundled import model_files
from finops_cli.pipeline.parse import decode
from finops_cli.pipeline.resume import Fingerprint
from finops_cli.pipeline.stored.file_set import FILES

State = Literal["unchanged", "changed", "not found", "not compared"]
_GGUF = "--{stage}-gguf="
_SHOWN_LINES = 5


class VerifiedPart(Struct, frozen=True):
    """A part of the evidence, compared with what is there now."""

    part: str
    state: State
    text: str


@dataclass(slots=True)
class _Faults:
    """Counts faults, and keeps the first ones."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count a fault."""
        self.count += 1
        if self.count <= _SHOWN_LINES:
            self.first.append(text)

    def describe(self) -> str:
        """Write the first faults, and how many more there are."""
        more = self.count - len(self.first)
        return "; ".join(self.first) + (f"; and {more:,} more" if more else "")


def verify(run: RecordedRun) -> list[VerifiedPart]:
    """Compare each part of the evidence. The output is read twice."""
    return [
        *_verify_output(run),
        *_verify_input(run),
        *_verify_files(run.files),
        _verify_rules(run),
        *_verify_models(run),
        *_verify_lines(run),
    ]


def is_sound(parts: list[VerifiedPart]) -> bool:
    """Return true where nothing was changed, and everything that could be compared was found."""
    return all(each.state in ("unchanged", "not compared") for each in parts)


def _verify_output(run: RecordedRun) -> Iterator[VerifiedPart]:
    recorded = run.evidence.output
    if recorded is None:
        text = "the run was interrupted; continue it with --resume"
        if run.note.complete:
            yield VerifiedPart("output", "not found", "the note has no digest of it")
        else:
            yield VerifiedPart("output", "not compared", text)
        return
    sha256, _ = sha256_of_file(run.output)
    state: State = "unchanged" if sha256 == recorded.sha256 else "changed"
    text = f"sha256 {recorded.sha256}"
    yield VerifiedPart("output", state, text if state == "unchanged" else f"{text}, now {sha256}")


def _verify_input(run: RecordedRun) -> Iterator[VerifiedPart]:
    """Compare both digests of the input in the note."""
    files = run.evidence.files
    if not files:
        yield VerifiedPart("input", "not found", "the note names no input")
    elif run.fingerprint.input_kind != FILES and files[0].sha256 != run.fingerprint.input_sha256:
        yield VerifiedPart("note", "changed", "it has two digests of the input")


def _verify_files(files: list[FoundFile]) -> Iterator[VerifiedPart]:
    for number, each in enumerate(files):
        part = "input" if number == 0 else "file"
        recorded = each.recorded
        if each.path is None:
            text = f"{recorded.path}, sha256 {recorded.sha256}"
            yield VerifiedPart(part, "not found", text)
        elif each.is_unchanged:
            yield VerifiedPart(part, "unchanged", f"{each.path}, sha256 {recorded.sha256}")
        else:
            text = f"{each.path}: sha256 was {recorded.sha256}, is {each.sha256}"
            yield VerifiedPart(part, "changed", text)


def _verify_rules(run: RecordedRun) -> VerifiedPart:
    rules = run.rules
    if rules is None:
        text = f"{run.rules_name}; finops --kb DIR kb save keeps rules, --kb-store DIR finds them"
        return VerifiedPart("rules", "not found", text)
    where = "those of this finops" if rules.folder == bundled_kb_dir() else str(rules.folder)
    return VerifiedPart("rules", "unchanged", f"{where}, sha256 {rules.sha256}")


def _verify_models(run: RecordedRun) -> Iterator[VerifiedPart]:
    """Compare the model files; a server is not asked."""
    made = run.fingerprint
    for stage, name in made.models.items():
        if name is None:
            continue
        digest = (made.digests or {}).get(stage)
        path = _find_model_file(run, stage, digest)
        if path is not None:
            yield VerifiedPart("model", "unchanged", f"{stage}: {path}, sha256 {digest}")
        elif _has_files(made.backend):
            yield VerifiedPart("model", "not found", f"{stage}: {name}, sha256 {digest}")
        else:
            known = digest or "which tells no digest"
            text = f"{stage}: {name} of {made.backend}, {known}; finops audit --again asks for it"
            yield VerifiedPart("model", "not compared", text)


def _has_files(backend: str) -> bool:
    """Return true for a backend whose models are files of this machine."""
    return backend in BACKENDS and "ggufs" in BACKENDS[backend].options


def _find_model_file(run: RecordedRun, stage: str, digest: str | None) -> Path | None:
    option = _GGUF.format(stage=stage)
    named = [each.removeprefix(option) for each in run.first.arguments if each.startswith(option)]
    places = [place for path in named for place in run.locate(path)]
    places += model_files([stage]).values()
    return next(
        (each for each in places if each.is_file() and sha256_of_file(each)[0] == digest), None
    )


def _verify_lines(run: RecordedRun) -> Iterator[VerifiedPart]:
    """Compare the provenance of each line with the note, and judge each answer by its rules."""
    wrong, count = _Faults(), 0
    with reading_lines(run.output) as file:
        for count, (line, _) in enumerate(lines_of(file), start=1):
            reason = _find_difference(decode(line), run)
            if reason is not None:
                wrong.add(f"line {count:,}: {reason}")
    recorded = run.evidence.output
    if recorded is not None and recorded.lines != count:
        wrong.add(f"{count:,} lines, the run wrote {recorded.lines:,}")
    if wrong.count:
        yield VerifiedPart("lines", "changed", wrong.describe())
    else:
        yield VerifiedPart("lines", "unchanged", f"{count:,} name these rules and models")
    yield from _verify_answers(run)


def _verify_answers(run: RecordedRun) -> Iterator[VerifiedPart]:
    if run.fingerprint.command == "sentiment":
        return
    if run.kb is None:
        yield VerifiedPart("answers", "not found", "the rules that judge them")
        return
    wrong = _Faults()
    with reading_lines(run.output) as file:
        for each in check_lines((line for line, _ in lines_of(file)), RuleSets(run.kb)):
            if not each.ok:
                wrong.add(f"line {each.line:,}: {each.findings[0].message}")
    if wrong.count:
        yield VerifiedPart("answers", "changed", wrong.describe())
    else:
        yield VerifiedPart("answers", "unchanged", "each is right by these rules")


def _find_difference(given: Any, run: RecordedRun) -> str | None:
    """Return what the provenance of a line says otherwise than the note."""
    if not is_run_line(given) or not isinstance(given["provenance"], dict):
        return "is not an output line"
    stated = given["provenance"]
    for name, expected in _list_provenance(run.fingerprint, run.rules_name).items():
        if name in stated and stated[name] != expected:
            return f"provenance.{name} is {stated[name]}, the note has {expected}"
    return None


def _list_provenance(made: Fingerprint, rules: str) -> dict[str, Any]:
    return {
        "backend": made.backend,
        "models": dict(made.models),
        "kb": rules,
        "prompt_sha256": made.prompt_sha256,
        "digests": None if made.digests is None else dict(made.digests),
    }
