"""The content of the note beside an output, and the present places of its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.safe_io import refuse_unreadable
from finops_cli.kb.load import digest_rules, load_kb, name_rules, named_digits
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.kb.store import RuleSet, find_rules
from finops_cli.pipeline.evidence import HOME, Evidence, FileDigest, RunPart
from finops_cli.pipeline.resume import Fingerprint, RunNote, note_path, read_note

_KB = "--kb="
_SHORTEST = 12
"""Digits of a digest of rules in the note of an earlier release."""


class FoundFile(NamedTuple):
    """A file that a run read, and the file that is in its place now."""

    recorded: FileDigest
    path: Path | None
    """None: no file was found."""
    sha256: str | None

    @property
    def is_unchanged(self) -> bool:
        """Return true for a file with the digest that was recorded."""
        return self.sha256 == self.recorded.sha256


@dataclass
class RecordedRun:
    """An output and its note."""

    output: Path
    note: RunNote
    store: Path
    """The folder in which rules are kept."""
    input: Path | None = None
    """Where the input is now; None: where it was."""
    given_rules: Path | None = None
    """A folder that may have the rules of the run."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what the output was made from."""
        return self.note.fingerprint

    @property
    def evidence(self) -> Evidence:
        """Return the evidence. Raises UsageError for a note of a release that kept none."""
        if self.note.evidence is None or not self.note.evidence.parts:
            raise UsageError(
                f"{note_path(self.output)}: was written by a release that kept no evidence",
                "run it again with this release, or compare it with finops check --fails",
            )
        return self.note.evidence

    @property
    def first(self) -> RunPart:
        """Return the part that started the output."""
        return self.evidence.parts[0]

    @property
    def rules_name(self) -> str:
        """Return the name of the rules in each line of the output."""
        return name_rules(self.fingerprint.finops, self._rules_digest)

    @property
    def _rules_digest(self) -> str:
        """Return the digest of the rules; an earlier release wrote its first digits."""
        return named_digits(self.fingerprint.kb) or self.fingerprint.kb

    @cached_property
    def rules(self) -> RuleSet | None:
        """Find the rules of the run; None where nobody kept them.

        The folder that the run read is as good as a kept one while its digest is the same.
        """
        recorded = [
            place
            for each in self.first.arguments
            if each.startswith(_KB)
            for place in self.locate(each.removeprefix(_KB))
        ]
        if len(self._rules_digest) < _SHORTEST:
            return None
        given = [] if self.given_rules is None else [self.given_rules]
        for folder in (*given, *recorded):
            if any(folder.glob("*.toml")):
                sha256 = digest_rules(folder)
                if sha256.startswith(self._rules_digest):
                    return RuleSet(sha256, folder.resolve(), None)
        return find_rules(self._rules_digest, self.store)

    @cached_property
    def kb(self) -> KnowledgeBase | None:
        """Load the rules of the run; None where nobody kept them. Raises KnowledgeError."""
        return None if self.rules is None else load_kb(self.rules.folder)

    @cached_property
    def files(self) -> list[FoundFile]:
        """Find the files that the run read, the input first."""
        found = []
        for number, each in enumerate(self.evidence.files):
            named = [self.input] if self.input is not None and number == 0 else None
            found.append(self._find(each, named))
        return found

    def locate(self, path: str) -> Iterator[Path]:
        """Yield the places where a path of the command may be now, the likeliest first."""
        given = Path(str(Path.home()) + path.removeprefix(HOME)) if path.startswith(HOME) else None
        named = given or Path(path)
        if self.first.folder is not None:
            yield Path(self.first.folder) / named
        yield Path.cwd() / named
        yield self.output.parent / named
        yield self.output.parent / named.name

    def _find(self, recorded: FileDigest, named: list[Path] | None) -> FoundFile:
        """Find a file; one with another content counts only where no better one is found."""
        other = None
        for path in dict.fromkeys(named or self.locate(recorded.path)):
            if not path.is_file():
                continue
            sha256, _ = sha256_of_file(path)
            if sha256 == recorded.sha256:
                return FoundFile(recorded, path, sha256)
            other = other or FoundFile(recorded, path, sha256)
        return other or FoundFile(recorded, None, None)


def open_recorded(
    output: Path, store: Path, given: Path | None, rules: Path | None = None
) -> RecordedRun:
    """Read the note of an output. `given` is its input, `rules` a folder that may have its rules.

    Raises UsageError if the note is missing.
    """
    refuse_unreadable(output)
    path = note_path(output)
    if not path.is_file():
        raise UsageError(
            f"{output}: has no note {path.name} beside it",
            "put the note of its run into the same folder; a run with -o FILE writes it",
        )
    try:
        return RecordedRun(output, read_note(output), store, given, rules)
    except ResumeRefused as error:
        raise UsageError(str(error), "find an unchanged copy of the note") from error
