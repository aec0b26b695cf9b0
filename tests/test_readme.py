"""Every command that the README shows is run, and prints what the README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
SHOWN = [
    (command, expected)
    for block in CONSOLE.findall((ROOT / "README.md").read_text())
    for command, _, expected in (
        part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part
    )
]


def test_the_readme_shows_commands() -> None:
    assert len(SHOWN) >= 6


@pytest.mark.parametrize(("command", "expected"), SHOWN, ids=[command[:60] for command, _ in SHOWN])
def test_a_command_of_the_readme_prints_what_it_shows(command: str, expected: str) -> None:
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
