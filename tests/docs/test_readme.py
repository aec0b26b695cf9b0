"""Every command that the README shows is run and prints what it shows; its links exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import ROOT

CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md")))
SHOWN = [
    pytest.param(command, expected, id=command[:60])
    for block in CONSOLE.findall(PAGES[0].read_text())
    for command, _, expected in (
        part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part
    )
]


def test_readme_shows_commands() -> None:
    """The search for commands finds at least three, so the other tests of this module are not
    empty.
    """
    assert len(SHOWN) >= 3


def test_readme_has_at_most_150_lines() -> None:
    """The README has at most 150 lines, and the guides have the rest."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_of_a_page_exist(page: Path) -> None:
    """A relative link on a page names a file or a folder of the repository."""
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(("command", "expected"), SHOWN)
def test_console_block_prints_what_its_page_shows(command: str, expected: str) -> None:
    """A command of a page prints the output on the page, except for blanks at the ends of lines."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        line.rstrip() for line in expected.splitlines()
    ]


def test_python_example_of_the_readme_runs() -> None:
    """The Python lines of the README run unchanged from the root of the repository."""
    [code] = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[0] == "83.2 LOCATE_AND_DELIVER", done.stderr
