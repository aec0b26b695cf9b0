"""The clients of the documentation, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import TOKENS, Server
from tests.support.program import ROOT, Finops

PAGE = (ROOT / "docs/how-to/serve.md").read_text()
ADDRESS = "http://127.0.0.1:8765"
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [
    each
    for each in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    if "curl" in each
]
MONDAY = ROOT / "examples/monday.jsonl"
pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a token and a blotter, as the page supposes."""
    (tmp_path / "token.txt").write_text(TOKENS["operator"] + "\n")
    shutil.copy(MONDAY, tmp_path / "fails.jsonl")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PYTHON, ids=["stream", "job"])
def test_client_in_python_gets_every_line(
    server: Server, finops: Finops, folder: Path, program: str
) -> None:
    """The clients in Python print what `finops run` writes, and are as short as the page says."""
    text = program.replace(ADDRESS, server.url)
    assert text != program
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
    printed = run([sys.executable, "-c", text], folder)
    expected = finops("run", MONDAY, "--no-timing", "-q").stdout.decode()
    assert printed.rstrip("\n") == expected.rstrip("\n")


def test_client_of_curl_gets_every_line(server: Server, finops: Finops, folder: Path) -> None:
    """The client of curl leaves the output of `finops run`."""
    if shutil.which("curl") is None or shutil.which("jq") is None:
        pytest.skip("curl and jq are not installed")
    [script] = SHELL
    run(["bash", "-euc", script.replace(ADDRESS, server.url)], folder)
    expected = finops("run", MONDAY, "--no-timing", "-q").stdout
    assert (folder / "out.jsonl").read_bytes() == expected
