"""Evidence about a run, for an auditor a year later: who ran it, when, how, and what it wrote.

It is part of the note beside an output (`pipeline.resume`). The caller passes in the user, the
machine and the clock, so that equal runs without timing write equal notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

HOME = "~"
"""Stands for the home folder in the paths of an anonymous note."""


class FileDigest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that a run read."""

    path: str
    """As the command named it."""
    size: int
    """Bytes."""
    sha256: str


class OutputDigest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output of a complete run."""

    size: int
    """Bytes."""
    lines: int
    sha256: str
    statuses: dict[str, int]
    """Lines by status."""


class RunPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run from its start or resumption until it ends or is interrupted."""

    user: str | None
    """Null with `--anonymous`."""
    host: str | None
    """The name of the machine; null with `--anonymous`."""
    folder: str | None
    """The folder in which the command was given; null with `--anonymous`."""
    arguments: tuple[str, ...]
    """The command after the word finops, with `--kb` where it was given. Options have the form
    `--name=value`.
    """
    finops: str
    python: str
    platform: str
    started: str | None = None
    """UTC; null where the run does not measure time."""
    ended: str | None = None
    """UTC; null for a part that was interrupted, and where the run does not measure time."""


class Evidence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an audit of an output compares."""

    parts: tuple[RunPart, ...]
    """The first one started the output; the others resumed it."""
    files: tuple[FileDigest, ...]
    """The input, and the further files that the lines are made of."""
    output: OutputDigest | None = None
    """Null until the run is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The user, the host and the program of a command."""

    user: str | None
    host: str | None
    folder: str | None
    arguments: tuple[str, ...]
    finops: str
    python: str
    platform: str
    now: Callable[[], datetime] | None
    """The clock in UTC; None: the note has no times."""
    home: str | None = None
    """The folder that becomes ~ in paths; None: paths stay as they are."""

    def begin(self, files: tuple[FileDigest, ...], before: Evidence | None) -> Evidence:
        """Begin the evidence of a run that reads `files`.

        `before` is the evidence of the output that it resumes; None for a new output.
        """
        part = RunPart(
            user=self.user,
            host=self.host,
            folder=self.folder,
            arguments=tuple(self._hide_home(each) for each in self.arguments),
            finops=self.finops,
            python=self.python,
            platform=self.platform,
            started=self._time(),
        )
        named = tuple(replace(each, path=self._hide_home(each.path)) for each in files)
        earlier = () if before is None else before.parts
        return Evidence(parts=(*earlier, part), files=named)

    def complete(self, evidence: Evidence, output: OutputDigest) -> Evidence:
        """End the last part of a run, whose output is complete."""
        *before, last = evidence.parts
        ended = replace(last, ended=self._time())
        return replace(evidence, parts=(*before, ended), output=output)

    def _hide_home(self, text: str) -> str:
        return text if self.home is None else text.replace(self.home, HOME)

    def _time(self) -> str | None:
        return None if self.now is None else self.now().isoformat(timespec="seconds")


def count_statuses(statuses: Mapping[str, int]) -> dict[str, int]:
    """Return the counts in the order of their names, without zeros."""
    return {name: statuses[name] for name in sorted(statuses) if statuses[name]}


def list_changed_files(before: Evidence | None, now: Evidence | None) -> list[str]:
    """Name the files that only one of two runs read, or that changed between them."""
    if before is None or now is None:
        return []
    old, new = ({each.path: each.sha256 for each in one.files} for one in (before, now))
    kinds = {
        "added": [path for path in new if path not in old],
        "removed": [path for path in old if path not in new],
        "changed": [path for path in new if path in old and old[path] != new[path]],
    }
    return [
        f"{kind}: {', '.join(paths[:_SHOWN])}{' ...' if len(paths) > _SHOWN else ''}"
        for kind, paths in kinds.items()
        if paths
    ]


_SHOWN = 5
"""The files of a kind that a message names."""
