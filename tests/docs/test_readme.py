"""Every command that the README and the guides show is run, and prints what they show."""

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
    (command, expected)
    for page in PAGES
    for block in CONSOLE.findall(page.read_text())
    for command, _, expected in (
        part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part
    )
]


def test_pages_show_commands() -> None:
    """A page whose blocks are not found would pass unread."""
    assert len(SHOWN) >= 15


def test_the_readme_stays_short() -> None:
    """A reader sees what finops is, and runs it, within 150 lines; the guides have the rest."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link names a file or a folder of the repository."""
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(("command", "expected"), SHOWN, ids=[command[:60] for command, _ in SHOWN])
def test_a_shown_command_prints_what_its_page_shows(command: str, expected: str) -> None:
    """stdout to the letter; blanks at the ends of lines do not count."""
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


def test_the_python_of_the_readme_runs() -> None:
    """The lines of Python that a reader copies run as they are, from the root of the repository."""
    [code] = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[0] == "83.2 LOCATE_AND_DELIVER", done.stderr
