"""Fixtures that the tests share, and the markers that a test gets by what it needs."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.guard.detector import Guard, open_guard
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline import scheduler
from tests.support.forked import serve_programs
from tests.support.program import Finops, call_finops, start_finops
from tests.support.records import CARD_ROWS, CARD_ROWS_OF_STAGE, FEW_ROWS
from tests.support.text_models import OPENED, shorten_pauses
from tests.support.tiny_gguf import GGUF_HEAD

RUN_FINOPS = {"finops", "program", "finops_without_guard"}
"""Fixtures that run the command line."""
MARKER_OF_FOLDER = {
    "llama_cpp": "llama",
    "training": "train",
    "quantization": "train",
    "transformers": "train",
}


settings.register_profile("finops", deadline=None)  # speed is measured in benchmarks/
settings.load_profile("finops")


def pytest_configure() -> None:
    """Let the tests and the programs that they start be interrupted, and compile modules once.

    A process started by `nohup` ignores SIGHUP, one started by cron or in the background of a
    script ignores SIGINT, and so do its children. Tests of an interrupt need the defaults. Where
    PYTHONDONTWRITEBYTECODE is set, each of the hundreds of programs that the tests start would
    compile finops again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Keep the collected tests out of every garbage collection: finops collects at each batch."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it starts, and by its folder."""
    for item in items:
        if RUN_FINOPS & set(getattr(item, "fixturenames", ())):
            item.add_marker("cli")
        if marker := MARKER_OF_FOLDER.get(item.path.parent.name):
            item.add_marker(marker)


@pytest.fixture(autouse=True)
def _workers_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of a run answer from its first line on: the files of tests are short."""
    monkeypatch.setattr(scheduler, "BATCHES_ALONE", 0)


@pytest.fixture(scope="session")
def kb() -> KnowledgeBase:
    """The bundled knowledge base."""
    return load_kb(bundled_kb_dir())


@pytest.fixture(scope="session")
def guard(kb: KnowledgeBase) -> Guard:
    """The guard with the bundled rules; the test is skipped if the guard extra is not installed."""
    pytest.importorskip("presidio_analyzer")
    return open_guard(kb.guard)


@pytest.fixture
def finops() -> Finops:
    """Run finops in the process of the tests; bytes in, bytes out."""
    return call_finops


@pytest.fixture(scope="session")
def program() -> Finops:
    """Run finops in a process of its own; for fixtures that a module of tests shares."""
    return start_finops


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a program `finops` that is loaded once for all tests."""
    with serve_programs(tmp_path_factory.mktemp("programs")) as folder:
        yield folder


@pytest.fixture
def finops_without_guard(monkeypatch: pytest.MonkeyPatch) -> Finops:
    """Run finops as if presidio were not installed."""
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    return call_finops


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A model file that consists of its head."""
    file = tmp_path / "tiny.gguf"
    file.write_bytes(GGUF_HEAD)
    return file


_GENERATE = ("generate", "--seed", "11", "-q", "--json")


@pytest.fixture(scope="session", params=[FEW_ROWS, pytest.param(CARD_ROWS, marks=pytest.mark.slow)])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows of triage and of the resolver: a few, or as many as the cards have.

    A few rows do not meet every requirement of a data set. `just soak` makes as many rows of the
    resolver, too.
    """
    if request.param == FEW_ROWS:
        few: Path = request.getfixturevalue("few_rows")
        return few
    folder = tmp_path_factory.mktemp("data")
    reports = []
    for stage, count in CARD_ROWS_OF_STAGE.items():
        done = start_finops(*_GENERATE, "--stage", stage, "-n", count, "-o", folder, timeout=1200)
        assert done.returncode == 0, done.stderr
        reports += json.loads(done.stdout)
    (folder / "report.json").write_text(json.dumps(reports))
    return folder


@pytest.fixture(scope="session")
def few_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few rows of triage and of the resolver."""
    folder = tmp_path_factory.mktemp("few")
    done = call_finops(*_GENERATE, "-n", FEW_ROWS, "-o", folder)
    (folder / "report.json").write_bytes(done.stdout)
    return folder


@pytest.fixture(scope="session")
def quick_kb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundled knowledge base and short pauses; no test changes it."""
    folder = Path(shutil.copytree(bundled_kb_dir(), tmp_path_factory.mktemp("quick") / "kb"))
    shorten_pauses(folder)
    return folder


@pytest.fixture(scope="session")
def quick(quick_kb: Path) -> KnowledgeBase:
    """The bundled knowledge base with short pauses."""
    return load_kb(quick_kb)


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    """A fake Ollama server with both models."""
    with FakeOllama() as running:
        yield running


@pytest.fixture(autouse=True)
def close_backends() -> Iterator[None]:
    """Close the connections to servers with the test that opened them."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty sentiment rows, 48 of them for training, so short that a training step takes a tenth of
    a second.
    """
    from finops_cli.datasets.writer import DatasetOptions, make_here, write_dataset

    folder = tmp_path_factory.mktemp("sentences")
    write_dataset(
        DatasetOptions(
            stage="sentiment", rows=60, seed=7, profile="coverage", kb_dir=bundled_kb_dir()
        ),
        folder,
        lambda order: make_here(order, 1),
        lambda completed: None,
    )
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that `finops train` made from random weights, as the base of adapters."""
    from tests.support.training_runs import SMALL, run_training

    output = tmp_path_factory.mktemp("base") / "out"
    run_training("sentiment", "tiny-cpu", [*SMALL, "training.max_steps=8"], output)
    return output


@pytest.fixture(scope="session")
def adapter(base: Path, sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on `base` that was trained without an interruption: two epochs of six steps."""
    from tests.support.training_runs import lora, run_training

    output = tmp_path_factory.mktemp("adapter") / "out"
    run_training("sentiment", None, lora(base, sentences, "training.epochs=2"), output)
    return output
