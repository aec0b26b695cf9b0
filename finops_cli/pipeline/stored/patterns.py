"""Folders and patterns of file names: which files they mean, in which order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.terminal import printable

_NOTE = ".run.json"
_EVERY = "**"


class FoundFiles(NamedTuple):
    """The files of a folder or a pattern, sorted by their names in C order."""

    root: Path
    """The folder that the names begin at: that of no wildcard."""
    paths: tuple[Path, ...]
    left_out: tuple[str, ...]
    """Names that are not inputs: hidden files, and the notes of runs."""


def is_several(given: Path) -> bool:
    """Return true for a folder, and for a pattern that is not the name of a file itself."""
    return given.is_dir() or (glob.has_magic(str(given)) and not os.path.lexists(given))


def find_files(given: Path) -> FoundFiles:
    """Find the files of a folder or a pattern.

    Raises UsageError for none, for a folder among them, and for a file that cannot be read.
    """
    root = given if given.is_dir() else _root_of(given)
    if given.is_dir():
        found: Iterator[str] | Sequence[str] = [os.fspath(each) for each in _list(given)]
    else:
        found = glob.iglob(str(given), recursive=True)  # noqa: PTH207 - Path.glob drops `./`
    names = sorted(set(found), key=os.fsencode)
    is_recursive = _EVERY in given.parts
    kept, left_out = [], []
    for name in names:
        path = Path(name)
        if path.name.startswith(".") or _is_note(path):
            left_out.append(printable(path.name))
        elif path.is_dir() and is_recursive:
            continue  # its files are found too
        else:
            kept.append(path)
    if not kept:
        raise _refuse_none(given, left_out)
    for path in kept:
        _refuse_unreadable(path, given)
    if len(kept) > limits.INPUT_FILES:
        raise UsageError(
            f"{given}: {len(kept):,} files. Expected at most {limits.INPUT_FILES:,}.",
            "run them in parts, or join them: cat FILES | finops run -",
        )
    return FoundFiles(root, tuple(kept), tuple(left_out))


def refuse_to_find(given: Path, outputs: Sequence[Path | None]) -> None:
    """Raise UsageError for an output that a folder or pattern means, or whose note it means."""
    for output in outputs:
        for name in ("", _NOTE):
            if output is not None and would_find(given, output.with_name(f"{output.name}{name}")):
                raise UsageError(
                    f"{given}: would read {printable(output.name + name)}, which this run writes",
                    "write the output into another folder with -o, or give a pattern that does not"
                    " mean it",
                )


def would_find(given: Path, output: Path) -> bool:
    """Return true where a folder or pattern means a file of that name, whether it exists or not."""
    name = _absolute(output)
    if given.is_dir():
        return name.parent == _absolute(given)
    return _fits(name.parts, _absolute(given).parts)


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path.parent)) / path.name if path.name else path.resolve()


def _fits(name: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == _EVERY:
        return any(_fits(name[at:], pattern[1:]) for at in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _fits(name[1:], pattern[1:])


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}", "choose a folder that you may read"
        ) from error


def _root_of(pattern: Path) -> Path:
    parts = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _is_note(path: Path) -> bool:
    """Return true for the note beside an output: a file of fails has another name."""
    return path.name.endswith(_NOTE) and path.with_name(path.name.removesuffix(_NOTE)).exists()


def _refuse_none(given: Path, left_out: list[str]) -> UsageError:
    besides = f" besides {', '.join(left_out[: limits.PROBLEMS])}" if left_out else ""
    if given.is_dir():
        return UsageError(f"{given}: the folder holds no file{besides}", "give a folder of fails")
    return UsageError(
        f"{printable(str(given))}: no file has a name of this pattern{besides}",
        "correct the pattern, and put it between single quotes",
    )


def _refuse_unreadable(path: Path, given: Path) -> None:
    shown = printable(str(path))
    if path.is_dir():
        everything = given / "**" / "*" if given.is_dir() else given.parent / "**" / given.name
        raise UsageError(
            f"{shown}: is a folder within the input; only its files could be read",
            f"give the files of all folders: '{everything}', or a pattern without it",
        )
    if not path.is_file():
        what = "is a pipe or a device" if path.exists() else "no such file (a broken link)"
        raise UsageError(f"{shown}: {what}", "leave it out: give a pattern of file names")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{shown}: Permission denied", "choose files that you may read")
