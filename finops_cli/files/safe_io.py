"""Opens the inputs and outputs of a command safely; one process at a time writes an output."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from finops_cli.domain import exact_json
from finops_cli.errors import ResumeRefused, UsageError

STDIN, STDOUT = 0, 1
_IS_WINDOWS = os.name == "nt"
_OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


def refuse_unreadable(source: Path) -> None:
    """Raises UsageError when `source` is a folder or is missing."""
    if source.is_dir():
        raise UsageError(f"{source}: is a folder", "give a file, or - for stdin")
    if not source.exists():
        raise UsageError(f"{source}: no such file", "give a file, or - for stdin")


def refuse_unwritable(output: Path, sources: Sequence[Path | None], option: str = "-o") -> None:
    """Raises UsageError when writing `output` is impossible or would destroy one of `sources`.

    A file that is open as stdin counts as a source. `option` names the option in the message.
    """
    if output.is_dir():
        raise UsageError(f"{output}: is a folder", "give a file")
    parent = Path(os.path.realpath(output)).parent if output.is_symlink() else output.parent
    if not parent.is_dir():
        raise UsageError(
            f"{output}: the folder {parent} does not exist", f"make the folder: mkdir -p {parent}"
        )
    if not os.access(output if output.exists() else parent, os.W_OK):
        raise UsageError(f"{output}: may not be written", "choose a place that you may write to")
    if _is_open_as(STDIN, output) or any(
        source is not None and _same_file(output, source) for source in sources
    ):
        raise UsageError(
            f"{output} is the input and also the output"
            if option == "-o"
            else f"{option} {output}: this command already reads or writes that file",
            f"choose another file for {option}",
        )


def refuse_to_replace(output: Path, overwrite: bool) -> None:
    """Raise UsageError when `output` holds data and `overwrite` does not allow to replace it."""
    if not overwrite and output.is_file() and output.stat().st_size:
        raise UsageError(
            f"{output}: holds data already",
            "give --overwrite to replace it, or another file for -o",
        )


def _refuse_stdout_into(sources: Sequence[Path | None]) -> None:
    """Raises UsageError when stdout is appended to a file that is read: it would never end."""
    for source in sources:
        path = Path("stdin") if source is None else source
        if _is_open_as(STDOUT, path) if source is not None else _are_same_file(STDIN, STDOUT):
            raise UsageError(
                f"{path} is the input, and stdout goes to the same file",
                "send stdout to another file",
            )


def _is_open_as(stream: int, path: Path) -> bool:
    """Return true when a standard stream is the regular file at `path`."""
    try:
        return path.is_file() and os.path.samestat(os.fstat(stream), path.stat())
    except OSError:  # closed, or not there
        return False


def _are_same_file(one: int, other: int) -> bool:
    """Return true when two open streams are one regular file."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return stat.S_ISREG(first.st_mode) and os.path.samestat(first, second)


def _same_file(one: Path, other: Path) -> bool:
    """Return true when two paths lead to one file, whether it exists or not.

    Two names of one pipe or device are harmless and give false.
    """
    if one.exists() and other.exists():
        return one.samefile(other) and one.is_file()
    return os.path.realpath(one) == os.path.realpath(other)


@contextmanager
def reading(source: Path | None) -> Iterator[BinaryIO]:
    """Open `source`, or stdin when None. Raises UsageError when it cannot be read."""
    if source is None:
        yield sys.stdin.buffer
        return
    refuse_unreadable(source)
    with source.open("rb") as file:
        yield file


@contextmanager
def writing(
    output: Path | None, sources: Sequence[Path | None], overwrite: bool = True
) -> Iterator[BinaryIO]:
    """Open and empty `output`, or stdout when None. Other commands cannot write it meanwhile.

    Raises UsageError when it would destroy one of `sources`, or data that `overwrite` protects, and
    ResumeRefused where another process writes it: what it has written stays.
    """
    if output is None:
        _refuse_stdout_into(sources)
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    refuse_unwritable(output, sources)
    refuse_to_replace(output, overwrite)
    with name_full_disk(output), open(output, "wb", opener=_for_owner_unemptied) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            lock(file, output)
            refuse_to_replace(output, overwrite)  # another one may have written since
            file.truncate(0)
        yield file


def _for_owner_unemptied(path: str, flags: int) -> int:
    """Open a file as `for_owner` does, but keep its content until it is locked."""
    return for_owner(path, flags & ~os.O_TRUNC)


def for_owner(path: str, flags: int) -> int:
    """Open a file; a new one can be read by its owner only, because it may hold personal data.

    An opener for `open`. A file that exists keeps its mode.
    """
    return os.open(path, flags, _OWNER_ONLY)


def for_owner_unlinked(path: str, flags: int) -> int:
    """Open a file under a name that finops chose, as `for_owner` does, but never through a link.

    Raises OSError for a symbolic link, which somebody else may have put there.
    """
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), _OWNER_ONLY)


@contextmanager
def name_full_disk(output: Path) -> Iterator[None]:
    """Name the output in an error of a full disk: the system leaves the name out."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            error.filename = str(output)
        raise


@contextmanager
def writing_whole(
    output: Path | None, sources: Sequence[Path | None], overwrite: bool = True
) -> Iterator[BinaryIO]:
    """Open `output` like `writing`, but replace the file only when the block ends without error."""
    if output is None or (
        output.exists() and not output.is_file() and not output.is_dir()
    ):  # a stream, a device or a pipe
        with writing(output, sources) as file:
            yield file
        return
    refuse_unwritable(output, sources)
    refuse_to_replace(output, overwrite)
    with whole(output) as file:
        yield file


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Write a new file that takes the name `path` when the block ends without error.

    Otherwise nothing is left of it. It keeps the mode of the file that it replaces. Raises
    ResumeRefused where another process writes the same file.
    """
    target = path.resolve()
    part = target.with_name(f"{target.name}.part")
    with ExitStack() as stack:
        stack.enter_context(name_full_disk(path))
        file = stack.enter_context(open(part, "r+b", opener=for_owner_unlinked))
        lock(file, path)
        try:
            file.truncate(0)
            if target.is_file():  # a command that writes it in place has locked the file itself
                lock(stack.enter_context(target.open("rb")), path)
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            if not _IS_WINDOWS:  # before another writer can take the lock
                part.replace(target)
        except BaseException:
            if not _IS_WINDOWS:
                part.unlink()
            raise
    if _IS_WINDOWS:  # an open file cannot be renamed there
        part.replace(target)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with exact numbers.

    A file is replaced whole or not at all; a pipe or a device is written to.
    """
    with writing_whole(path, []) as file:
        file.write(msgspec.json.format(exact_json.encode(value)) + b"\n")


def lock(file: BinaryIO | int, output: Path) -> None:
    """Lock `output` until `file` is closed. Raises ResumeRefused when another process holds it.

    Windows has no such lock: there, users have to avoid two runs on one output.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ResumeRefused(
            f"{output}: another finops is writing it", "wait for it to end"
        ) from error


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock `folder` until the block ends, so that its files come from one command.

    Raises ResumeRefused where another process has locked it. The folder itself is locked:
    a killed process leaves nothing behind.
    """
    if _IS_WINDOWS:  # a folder cannot be opened there
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for intermediate files in `parent`; it is deleted when the block ends.

    Those that killed commands left there are deleted first: a folder with that prefix which no
    process has locked. Raises ResumeRefused where another process is just doing the same.
    """
    with ExitStack() as stack:
        with locked_folder(parent):  # nobody deletes it before it is locked
            _delete_abandoned(parent, prefix)
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=parent))
            stack.enter_context(locked_folder(Path(made)))
        yield Path(made)


def _delete_abandoned(parent: Path, prefix: str) -> None:
    for left in parent.glob(f"{prefix}*"):
        if left.is_dir() and not left.is_symlink():
            with suppress(ResumeRefused), locked_folder(left):
                shutil.rmtree(left, ignore_errors=True)
