"""What the tests share: the shipped book, and finops run as the program that a user runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.guard.detector import Guard, open_guard
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from tests.models import OPENED, hurried

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
Finops = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="session")
def kb() -> KnowledgeBase:
    return load_kb(bundled_kb_dir())


@pytest.fixture(scope="session")
def guard(kb: KnowledgeBase) -> Guard:
    """The guard by the shipped rules; the test is skipped where the guard extra is not
    installed.
    """
    pytest.importorskip("presidio_analyzer")
    return open_guard(kb.guard)


def _run_finops(
    *arguments: object, given: bytes = b"", timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "finops_cli", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, timeout=timeout, check=False)


@pytest.fixture
def finops() -> Finops:
    """Run finops in a process of its own; bytes in, bytes out."""
    return _run_finops


@pytest.fixture(scope="session")
def program() -> Finops:
    """The same for what a module of tests shares."""
    return _run_finops


WITHOUT_THE_GUARD = (
    "import sys; sys.modules['presidio_analyzer'] = None; from finops_cli.cli import main; main()"
)


@pytest.fixture
def bare() -> Finops:
    """The same where presidio is not installed."""

    def run(
        *arguments: object, given: bytes = b"", timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", WITHOUT_THE_GUARD, *map(str, arguments)]
        return subprocess.run(
            command, input=given, capture_output=True, timeout=timeout, check=False, cwd=ROOT
        )

    return run


GGUF_HEAD = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)
"""Magic, version, and the counts of a GGUF file that has neither settings nor tensors."""


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A model file that is all head."""
    file = tmp_path / "tiny.gguf"
    file.write_bytes(GGUF_HEAD)
    return file


def rows(output: bytes) -> list[dict[str, Any]]:
    """JSONL as objects, numbers exact."""
    return [json.loads(line, parse_float=Decimal) for line in output.splitlines()]


def jsonl(*objects: object) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in objects)


def a_fail(**changes: object) -> dict[str, Any]:
    """The card's fail record as an object, with changes."""
    fail: dict[str, Any] = {
        "fail_id": "F-1",
        "cusip": "594918104",
        "side": "Sell",
        "qty": 5000,
        "counterparty": "DTC-0005",
        "age_days": 7,
        "market_value": 2_100_000,
        "cns_position": -5000,
        "cns_direction": "FTD",
        "reg_sho_threshold": True,
        "inventory_coverage_pct": 10,
        "cp_fail_rate_pct": 4,
    }
    return {**fail, **changes}


SEED = "11"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cards' sizes: 10,000 triage and 10,000 resolver rows."""
    folder = tmp_path_factory.mktemp("data")
    command = [
        sys.executable,
        "-m",
        "finops_cli",
        "generate",
        "--seed",
        SEED,
        "-o",
        str(folder),
        "-q",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "report.json").write_bytes(done.stdout)
    return folder


def rows_of_stage(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [
        row
        for split in ("train", "eval")
        for row in rows((folder / f"{stage}-{split}.jsonl").read_bytes())
    ]


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """The shipped rules with short pauses."""
    kb_dir = Path(shutil.copytree(bundled_kb_dir(), tmp_path_factory.mktemp("quick") / "kb"))
    hurried(kb_dir)
    return load_kb(kb_dir)


@pytest.fixture
def quick_kb(tmp_path: Path) -> Path:
    """A folder with the shipped rules and short pauses, for commands."""
    folder = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    hurried(folder)
    return folder


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    """A fake Ollama with both models."""
    with FakeOllama() as running:
        yield running


@pytest.fixture(autouse=True)
def closes() -> Iterator[None]:
    """Connections to servers end with the test that opened them."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty sentiment rows, 48 of them for training: short, so a step of training takes a tenth of
    a second.
    """
    from finops_cli.datasets.writer import DatasetOptions, write_dataset

    folder = tmp_path_factory.mktemp("sentences")
    write_dataset(
        DatasetOptions("sentiment", 60, 7, "coverage", bundled_kb_dir()),
        folder,
        1,
        lambda done: None,
    )
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that `finops train` made from random weights on a stream, for adapters to
    stand on.
    """
    from tests.training import SMALL, trained

    output = tmp_path_factory.mktemp("base") / "out"
    trained("sentiment", "tiny-cpu", [*SMALL, "training.max_steps=8"], output)
    return output


@pytest.fixture(scope="session")
def adapter(base: Path, sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on `base`, trained without an interruption: two epochs of six steps."""
    from tests.training import lora, trained

    output = tmp_path_factory.mktemp("adapter") / "out"
    trained("sentiment", None, lora(base, sentences, "training.epochs=2"), output)
    return output
