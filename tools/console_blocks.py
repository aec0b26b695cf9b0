"""The console blocks of the documentation: find their commands, run them, write their outputs.

A block shows commands after `$ ` and what they print on stdout. The commands of a page run in its
order, in a folder of their own that has copies of `examples` and `kb`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("examples", "kb")
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Shown(NamedTuple):
    """A command of a page, and the output that the page shows."""

    command: str
    output: str


def find_commands(page: Path) -> list[Shown]:
    """Find the commands of a page, in order."""
    return [
        Shown(*part.split("\n", 1))
        for block in _BLOCK.findall(page.read_text())
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)
        if part
    ]


def prepare_folder(folder: Path) -> None:
    """Put copies into `folder`, so that no command of a page changes the repository."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)


def run_command(command: str, folder: Path, *programs: Path) -> tuple[str, str]:
    """Run a command in `folder` and return stdout, without blanks at line ends, and stderr.

    The folders `programs` are searched first for the programs of the command.
    """
    places = [*map(str, programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(  # noqa: S603 - the commands are those of our own pages
        ["bash", "-c", command],  # noqa: S607
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(places), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines()), done.stderr


def fill_page(page: Path, folder: Path) -> str:
    """Run the commands of a page and return its text with their outputs."""

    def fill(block: re.Match[str]) -> str:
        parts = []
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command = part.split("\n", 1)[0]
            output, messages = run_command(command, folder)
            if messages:
                print(f"{page.name}: {command[:60]}: {messages.strip()}", file=sys.stderr)
            parts.append(f"$ {command}\n{output}")
        return f"```console\n{''.join(parts)}```"

    return _BLOCK.sub(fill, page.read_text())


def find_pages() -> list[Path]:
    """Find the pages that show commands: the README and the pages of the site."""
    return [
        page
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
        if _BLOCK.search(page.read_text())
    ]


def main() -> None:
    """Fill the pages that are named on the command line, or all pages."""
    for page in [Path(name) for name in sys.argv[1:]] or find_pages():
        with tempfile.TemporaryDirectory() as folder:
            prepare_folder(Path(folder))
            page.write_text(fill_page(page, Path(folder)))


if __name__ == "__main__":
    main()
