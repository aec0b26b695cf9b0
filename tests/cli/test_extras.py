"""Fix commands for missing extras: they install packages by name, never an unrelated package called
`finops`.
"""

from __future__ import annotations

import pickle
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from finops_cli import extras
from finops_cli.errors import FinopsError, MissingPiece, UsageError
from finops_cli.models.ollama.api import OllamaRefused
from tests.support.program import ROOT

TEXT_ONLY = {
    "train": "PyTorch: gigabytes",
    "unsloth": "PyTorch: gigabytes",
    "llama": "llama-cpp-python is built from source to read its metadata",
}
USERS = [name for name in extras.names() if name not in {"dev", "checks", "docs"}]


def own_name_installs(text: str) -> list[str]:
    """Commands in `text` that install the distribution by its name."""
    by_name = r"pip install [^\n&|;`]*(?<![\w./-])finops(?:-desk)?(?![\w./-])"
    return re.findall(rf"\bfinops(?:-desk)?\[[^\]]*\]|{by_name}", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pip install 'finops[guard]'", True),
        ("pip install finops", True),
        ("pip install -U 'finops-desk'", True),
        ("needs the extra: finops[train,llama]", True),
        ("python -m pip install 'presidio-analyzer>=2.2.360'", False),
        ("pip install -e '.[guard]'", False),
    ],
)
def test_install_command_with_our_name_is_found(text: str, found: bool) -> None:
    """The search of this module finds a command that installs finops by name, and accepts commands
    for its requirements.
    """
    assert bool(own_name_installs(text)) == found


def test_no_text_installs_finops_by_name() -> None:
    """The package, the documents, the CI recipes and the tests contain no command that installs
    finops by name.
    """
    places = [
        *(ROOT / "finops_cli").rglob("*.py"),
        *(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)),
        *(ROOT / "kb").rglob("*.toml"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "justfile", ".ci/run")),
    ]
    found = {str(path): own_name_installs(path.read_text(encoding="utf-8")) for path in places}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("extra", USERS)
def test_fix_of_an_extra_is_a_pip_command_of_this_python(extra: str) -> None:
    """The fix for an extra runs pip in this interpreter, with each requirement of pyproject.toml as
    one word.
    """
    words = shlex.split(extras.cure(extra).partition(" (")[0])
    start = words.index("install") + 1
    assert words[:3] == [sys.executable, "-m", "pip" if find_spec("pip") else "ensurepip"]
    assert words[start:] == extras.requirements(extra) != []
    assert not own_name_installs(extras.cure(extra))


def test_fix_of_unsloth_needs_its_own_environment() -> None:
    """The fix for unsloth says that it needs an environment of its own, and the fix for train does
    not.
    """
    assert "in an environment of its own" in extras.cure("unsloth")
    assert "environment of its own" not in extras.cure("train")


def test_fix_quotes_an_interpreter_path_with_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path with a space is quoted in the fix command."""
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    assert extras.cure("guard").startswith("'/opt/my python/bin/python' -m ")


def test_fix_of_two_extras_lists_a_shared_package_once() -> None:
    """The fix for two extras lists a requirement of both only once."""
    assert extras.cure("export", "llama").count("numpy") == 1


METADATA = """Metadata-Version: 2.4
Name: finops-desk
Version: 9
Requires-Dist: rich>=13
Requires-Dist: numpy>=1.26; extra == "a"
Requires-Dist: tomli>=2; (python_version < '3.11') and extra == 'a'
Requires-Dist: uvloop; extra == 'b' and sys_platform != 'win32'
Provides-Extra: a
Provides-Extra: b
Provides-Extra: empty
"""


def test_requirements_of_extras_are_read_from_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requirements keep their other markers, and requirements without an extra belong to
    no extra.
    """
    folder = tmp_path / "finops_desk-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert extras.names() == ["a", "b", "empty"]
    assert extras.requirements("a") == ["numpy>=1.26", "tomli>=2; python_version < '3.11'"]
    assert extras.requirements("b") == ["uvloop; sys_platform != 'win32'"]
    assert extras.cure("empty") == "install the packages that pyproject.toml lists under empty"


@pytest.mark.parametrize(
    "error",
    [
        UsageError("a", "do b"),
        UsageError("alone"),
        MissingPiece("c", "install d"),
        OllamaRefused("http://localhost", 500, b'{"error": "e"}'),
    ],
)
def test_error_keeps_its_fix_through_pickle(error: FinopsError) -> None:
    """An error that a worker process pickles keeps its type, message, fix and attributes."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert copy.one_line() == f"{error}; {error.cure}" if error.cure else str(error)


@pytest.mark.slow
def test_fix_commands_are_accepted_by_pip() -> None:
    """pip accepts the fix of all extras at once, in a dry run that uses nothing installed, as in a
    new environment. Releases that fit together fit each extra alone. It needs the package index.
    """
    pytest.importorskip("pip")
    words = shlex.split(extras.cure(*(name for name in USERS if name not in TEXT_ONLY)))
    given = words[words.index("install") :]
    command = [sys.executable, "-m", "pip", *given, "--dry-run", "--ignore-installed", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
