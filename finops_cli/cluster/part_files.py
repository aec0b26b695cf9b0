"""The files of the parts of a run, in a folder that every machine has.

A worker writes `.NAME.ATTEMPT`, and gives it the name `NAME.jsonl` by a hard link, which fails
where another attempt was first. So each part is written exactly once, whatever dies when. Only the
driver writes `parts.jsonl`, the list of finished parts.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.cluster.part_facts import PartFacts, decode_facts, encode_facts
from finops_cli.cluster.parts import CutPart, Part
from finops_cli.errors import Unfinished
from finops_cli.files.safe_io import for_owner_unlinked, name_full_disk

_DIGITS = 16
"""The digits of a digest that the names of files have."""
_LIST = "parts.jsonl"
_NAME = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


class FinishedPart(Struct, frozen=True, kw_only=True):
    """A part whose lines are in its file."""

    part: Part
    bytes: int
    sha256: str
    """The SHA-256 of its output lines."""
    statuses: dict[str, int]
    """Lines by status."""


class Attempt(NamedTuple):
    """The file of one attempt at a part, open for reading and writing."""

    path: Path
    file: BinaryIO


_FINISHED = msgspec.json.Decoder(FinishedPart)


def parts_root(output: Path) -> Path:
    """Return the folder beside an output that holds the parts of its run."""
    return output.with_name(f"{output.name}.parts")


def delete_parts(output: Path) -> None:
    """Delete the parts of every run of an output.

    Only folders that a run names are deleted: 16 digits, in the folder that the output names.
    """
    root = parts_root(output)
    if root.is_symlink() or not root.is_dir():
        return
    for folder in root.iterdir():
        if _NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # somebody else's files stay
        root.rmdir()


class PartFiles:
    """The files of the parts of one run.

    Its folder is named by what the lines depend on: workers of another run, which may still be
    alive, write elsewhere.
    """

    def __init__(self, output: Path, fingerprint_sha256: str) -> None:
        self.folder = parts_root(output).absolute() / fingerprint_sha256[:_DIGITS]

    def make(self) -> None:
        """Make the folder, for its owner only."""
        self.folder.parent.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def path(self, part: Part) -> Path:
        """Return the place of the output lines of a part."""
        return self.folder / f"{part.name}.jsonl"

    def source_of(self, part: Part, source: Path | None) -> Path:
        """Return the file that holds the input of a part; `source` is the input of the run."""
        if part.is_copied or source is None:
            return self.folder / f"{part.name}.input"
        return source

    def read(self, finished: FinishedPart) -> bytes:
        """Read the lines of a part. Raises Unfinished where they are not those of the list."""
        path = self.path(finished.part)
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != finished.sha256:
            raise Unfinished(
                f"{path}: was changed since it was written",
                "run the same command with --resume, which answers the part again",
            )
        return content

    def discard(self) -> None:
        """Delete the folder with what a machine left there late, and its parent if it is empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # it holds the parts of another run
            self.folder.parent.rmdir()

    # what a worker does

    @contextmanager
    def attempt(self, part: Part, most: int) -> Iterator[Attempt | None]:
        """Open a new file for the lines of a part; None where `most` attempts were begun.

        The file of an attempt stays when its process dies: that is how attempts are counted.
        """
        for number in range(1, most + 1):
            path = self.folder / f".{part.name}.{number}"
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            except FileExistsError:
                continue
            try:
                with name_full_disk(path), os.fdopen(descriptor, "w+b") as file:
                    yield Attempt(path, file)
            finally:
                path.unlink(missing_ok=True)
            return
        yield None

    def publish(self, part: Part, attempt: Attempt, facts: PartFacts) -> FinishedPart:
        """Take the lines of an attempt, and their facts, into place.

        Where another attempt was first, its lines count. Raises Unfinished where the driver has
        deleted the attempt, or something else writes in the folder.
        """
        attempt.file.flush()
        os.fsync(attempt.file.fileno())
        self._write_facts(part, _digest(attempt.file), encode_facts(facts))
        with suppress(FileExistsError):
            try:
                os.link(attempt.path, self.path(part))
            except FileNotFoundError as error:
                raise Unfinished(
                    f"{attempt.path}: was deleted while it was written",
                    "run the same command with --resume",
                ) from error
        _sync_folder(self.folder)
        found = self.find(part)
        if found is None:
            raise Unfinished(
                f"{self.path(part)}: is not what a worker wrote",
                "nothing but finops may write in that folder; run it again with --resume",
            )
        return found

    def store(self, part: Part, lines: list[bytes], facts: PartFacts) -> FinishedPart:
        """Write the lines of a part that no worker could answer."""
        path = self.folder / f".{part.name}.driver"
        path.unlink(missing_ok=True)
        with open(path, "x+b", opener=for_owner_unlinked) as file:
            file.writelines(lines)
            try:
                return self.publish(part, Attempt(path, file), facts)
            finally:
                path.unlink(missing_ok=True)

    def _write_facts(self, part: Part, digest: str, facts: bytes) -> None:
        path = self._facts_path(part, digest)
        new = path.with_name(f".{path.name}.{secrets.token_hex(_DIGITS)}")
        with name_full_disk(path), open(new, "xb", opener=for_owner_unlinked) as file:
            file.write(facts)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def _facts_path(self, part: Part, digest: str) -> Path:
        return self.folder / f"{part.name}.{digest[:_DIGITS]}.facts"

    # what both do

    def find(self, part: Part) -> FinishedPart | None:
        """Return a finished part, by its files alone; None where they are missing or torn."""
        path = self.path(part)
        try:
            with path.open("rb") as file:
                size, digest = os.fstat(file.fileno()).st_size, _digest(file)
        except FileNotFoundError:
            return None
        facts = self.facts(part, digest)
        if facts is None or len(facts.owed) != part.lines:
            return None
        statuses = {str(name): count for name, count in facts.summary.counters.get("statuses", [])}
        return FinishedPart(part=part, bytes=size, sha256=digest, statuses=statuses)

    def facts(self, part: Part, digest: str) -> PartFacts | None:
        """Read the facts of the lines with this digest; None where they are missing or torn."""
        try:
            return decode_facts(self._facts_path(part, digest).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    # what the driver does

    def read_list(self) -> dict[str, FinishedPart]:
        """Read the list of finished parts, by name. A torn last line is left out."""
        found: dict[str, FinishedPart] = {}
        with suppress(FileNotFoundError), (self.folder / _LIST).open("rb") as file:
            for line in file:
                with suppress(msgspec.DecodeError):
                    each = _FINISHED.decode(line)
                    found[each.part.name] = each
        return found

    @contextmanager
    def open_list(self, finished: dict[str, FinishedPart]) -> Iterator[PartList]:
        """Write the list again without what does not hold, and open it for more."""
        path = self.folder / _LIST
        new = path.with_name(f".{_LIST}")
        with name_full_disk(path), open(new, "wb", opener=for_owner_unlinked) as file:
            file.truncate(0)
            file.writelines(msgspec.json.encode(each) + b"\n" for each in finished.values())
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
            yield PartList(file)

    def write_input(self, cut: CutPart) -> None:
        """Write the input of a part that has a file of its own. It is on the disk after this."""
        if cut.copy is None:
            return
        path = self.source_of(cut.part, None)
        new = path.with_name(f".{path.name}")
        with name_full_disk(path), open(new, "wb", opener=for_owner_unlinked) as file:
            file.truncate(0)
            file.write(cut.copy)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def sweep(self, done: set[str], todo: set[str]) -> None:
        """Delete every file but those of the parts `done`, and the inputs of the parts `todo`.

        Only a driver does that, before there are workers, or after them.
        """
        for path in self.folder.iterdir():
            name, _, kind = path.name.partition(".")
            is_input = name in todo and kind == "input"
            if path.name != _LIST and name not in done and not is_input:
                path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete the attempts of dead workers, and the inputs: an output may hide what they show.

        Only a driver does that, when every part is finished.
        """
        for path in self.folder.iterdir():
            if path.name.startswith(".") or path.name.endswith(".input"):
                path.unlink(missing_ok=True)


class PartList:
    """The list of finished parts, open for the next one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, finished: FinishedPart) -> None:
        """Add a part. It is on the disk when this returns."""
        self._file.write(msgspec.json.encode(finished) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
