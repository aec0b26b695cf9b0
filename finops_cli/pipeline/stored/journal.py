"""An output that is made at the end of a run, from a journal of lines beside it.

A Parquet file has no valid end before its footer, and a packed file cannot be continued after a
kill. So the run writes plain lines into `OUT.journal.jsonl`, with a note of its own, and continues
there with --resume. When it is complete, the output is written under another name and renamed, its
note is written, and the journal is deleted. Whatever is killed in between can be done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.files.line_files import reading_lines
from finops_cli.files.safe_io import refuse_unwritable, whole
from finops_cli.pipeline import resume


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOutput:
    """The output that is made of a journal, and how."""

    target: Path
    write: Callable[[Iterable[bytes], BinaryIO], object]
    """Writes lines, each with its newline, in the form of the target."""

    @property
    def journal(self) -> Path:
        """The file of plain lines that the run writes."""
        return journal_of(self.target)

    def refuse_impossible(self, sources: list[Path | None], *, may_exist: bool) -> None:
        """Raise UsageError where the target cannot be written, ResumeRefused for one that exists.

        `may_exist`: it is replaced, or it is the output of the run that is resumed.
        """
        if self.target.exists() and not self.target.is_file() and not self.target.is_dir():
            raise UsageError(
                f"{self.target}: is a pipe or a device; this form needs a file",
                "give another name with -o, or write plain lines",
            )
        refuse_unwritable(self.target, sources)
        if not may_exist:
            resume.refuse_to_lose(self.target)

    def restore(self, journal: BinaryIO, fingerprint: resume.Fingerprint) -> None:
        """Write the lines of a complete target into an empty journal, to be compared.

        Raises ResumeRefused for a target that another run made, or none.
        """
        if journal.seek(0, os.SEEK_END) or not self.target.is_file():
            return
        if not self.target.stat().st_size:
            return
        note = resume.read_note(self.target)
        resume.refuse_if_different(self.target, fingerprint)
        if not note.complete:
            raise ResumeRefused(
                f"{self.target} is not complete, and its journal {self.journal.name} is not there",
                "start over with --overwrite",
            )
        resume.write_note(self.journal, note)
        with reading_lines(self.target) as lines:
            journal.writelines(lines)
        journal.flush()

    def finish(self) -> None:
        """Make the target of the complete journal, then delete the journal."""
        note_path = resume.note_path(self.journal)
        note = resume.read_note(self.journal) if note_path.exists() else None
        if not self._is_made(note):
            with whole(self.target) as out, self.journal.open("rb") as lines:
                self.write(lines, out)
            if note is None:
                resume.remove_note(self.target)
            else:
                resume.write_note(self.target, self._describe(note))
        self.journal.unlink()
        note_path.unlink(missing_ok=True)

    def _is_made(self, note: resume.RunNote | None) -> bool:
        """Return true where the target is made of this journal, or the journal of the target."""
        if note is None or not self.target.is_file():
            return False
        try:
            made = resume.read_note(self.target)
        except ResumeRefused:
            return False
        return made in (note, self._describe(note))

    def _describe(self, note: resume.RunNote) -> resume.RunNote:
        """Return the note of the target: the note of the journal, with the digest of the target."""
        evidence = note.evidence
        if evidence is not None and evidence.output is not None:
            size, sha256 = resume.digest(self.target)
            output = replace(evidence.output, size=size, sha256=sha256)
            evidence = replace(evidence, output=output)
        return replace(note, evidence=evidence)


def journal_of(target: Path) -> Path:
    """Return the journal of an output."""
    return target.with_name(f"{target.name}.journal.jsonl")


def noted_output(output: Path) -> Path:
    """Return the file whose note says what an output is made from: its journal, or itself."""
    journal = journal_of(output)
    return journal if resume.note_path(journal).exists() else output
