"""Measure two models on one processor: each stage alone, both at once, in turns, and with half of
the cores each.

    python -m benchmarks.two_models [ROUNDS] [--records N]

The models are those that ship. First each answers in a `llama_cpp.server` of its own, with as many
threads as there are cores, and the fake Ollama stands before both; then in worker processes of
finops, with the threads that large files get. Each way takes the same records at temperature 0.
The best round of each counts, and the rounds of all ways alternate, because other programs disturb
them. The ratio is the time of both stages to the sum of the stages alone, of the same way. The
servers need the extra `server` of llama-cpp-python.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from benchmarks.blotters import write_blotter
from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.devtools.fake_ollama.models import Model
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.load import bundled_dir, bundled_kb_dir, load_kb
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.llama_cpp.connect import build_profile, cores
from finops_cli.models.llama_cpp.model import LlamaCppModel
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.ollama.connect import open_ollama
from finops_cli.models.prompts import common_prefix
from finops_cli.models.protocol import Origin, TextModel
from finops_cli.models.sharing.turns import TurnQueue
from finops_cli.models.tasks import RUN_TASKS
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.parallel import in_threads
from finops_cli.rules.handoff import NotApplicable
from finops_cli.verify.codecs import FAIL

KB = load_kb(bundled_kb_dir())
FILES = {
    stage: bundled_dir("bundled_models") / f"tiny-{stage}.gguf" for stage in ("triage", "resolver")
}
NAMES = {stage: f"tiny-{stage}" for stage in FILES}
MODELS = tuple(Model(name, "qwen3") for name in NAMES.values())
STAGES: tuple[StageName, ...] = ("triage", "resolver")
_START_SECONDS = 120


class Work(NamedTuple):
    """A record for both stages."""

    fail: FailRecord
    case: ResolverInput


class Way(NamedTuple):
    """One way to run both models, and its model for a measurement."""

    name: str
    model: TextModel


def make_work(count: int) -> list[Work]:
    """Make records that need both stages."""
    found: list[Work] = []
    with tempfile.TemporaryDirectory() as folder:
        blotter = Path(folder) / "blotter.jsonl"
        write_blotter(blotter, count * 20, seed=26)
        lines = blotter.read_bytes().splitlines()
    for line in lines:
        fail = FAIL.read_line(line)
        if fail is None or not 1 <= len(fail.ftrs or ()) <= 2:
            continue
        case = RUN_TASKS["resolver"].record_of(fail, KB)
        if not isinstance(case, NotApplicable):
            found.append(Work(fail, case))
        if len(found) == count:
            break
    return found


def seconds(model: TextModel, work: list[Work], stages: tuple[StageName, ...]) -> float:
    """Return the seconds of `stages`, one after the other for each record, as in a run."""
    backend = VerifiedBackend(model, KB, "reject")

    def answer(one: Work) -> None:
        if "triage" in stages:
            backend.triage(one.fail)
        if "resolver" in stages:
            backend.resolve(one.case)

    began = time.perf_counter()
    for _ in in_threads(answer, work, max(1, model.concurrency)):
        pass
    return time.perf_counter() - began


def compare(title: str, ways: list[Way], work: list[Work], rounds: int) -> None:
    """Print a table of all ways."""
    best: dict[tuple[str, tuple[StageName, ...]], float] = {}
    for _ in range(rounds):
        for way in ways:
            for stages in (("triage",), ("resolver",), STAGES):
                taken = seconds(way.model, work, stages)
                print(f"{way.name}: {' and '.join(stages)} {taken:.1f} s", file=sys.stderr)
                key = way.name, stages
                best[key] = min(taken, best.get(key, taken))
    print(f"\n{title}, {len(work)} records\n")
    print("| way | triage alone, s | resolver alone, s | both, s | ratio |\n|---|---|---|---|---|")
    for way in ways:
        triage, resolver, both = (
            best[way.name, stages] for stages in (("triage",), ("resolver",), STAGES)
        )
        times = f"{triage:.1f} | {resolver:.1f} | {both:.1f} | {both / (triage + resolver):.2f}"
        print(f"| {way.name} | {times} |")
    sys.stdout.flush()


@contextmanager
def served(threads: int) -> Iterator[dict[str, str]]:
    """Start a `llama_cpp.server` for each model, and yield their addresses by name."""
    with ExitStack() as stack:
        urls = {}
        for stage, path in FILES.items():
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path)]
            command += ["--port", str(port), "--n_threads", str(threads)]
            command += ["--n_threads_batch", str(threads), "--n_ctx", "8192"]
            command += ["--interrupt_requests", "false", "--verbose", "false"]
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            urls[NAMES[stage]] = f"http://127.0.0.1:{port}"
        for url in urls.values():
            _wait_for(url)
        yield urls


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            httpx.get(f"{url}/v1/models", trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def compare_servers(work: list[Work], rounds: int) -> None:
    """Compare the ways behind an Ollama server."""
    with ExitStack() as stack:

        def open_way(name: str, threads: int, take_turns: bool) -> Way:
            urls = stack.enter_context(served(threads))
            gguf = {NAMES[stage]: path for stage, path in FILES.items()}
            fake = FakeOllama(models=MODELS, gguf=gguf, upstream=urls, has_gpu=not take_turns)
            server = stack.enter_context(fake)
            request = BackendRequest(
                stages=STAGES, backend="ollama", hosts=(server.url,), models=dict(NAMES)
            )
            model, _ = open_ollama(request, KB)
            for stage in STAGES:
                model.prepare(stage)
            return Way(name, model)

        ways = [
            open_way(f"in turns, {cores()} threads each", cores(), True),
            open_way(f"at once, {cores()} threads each", cores(), False),
            open_way("at once, half of the cores each", max(1, cores() // 2), False),
        ]
        compare("Two `llama_cpp.server` behind an Ollama server", ways, work, rounds)


def _set_turns(model: LlamaCppModel, take_turns: bool) -> None:
    """Let the models take turns or run at once, whatever the backend would choose."""
    model.turns = TurnQueue(KB.models.alternation_batch)
    if not take_turns:
        model.turns.turn = lambda stage: nullcontext()  # type: ignore[method-assign]


def compare_workers(work: list[Work], rounds: int) -> None:
    """Compare the ways of the worker processes of finops, with the layout of large files."""

    def open_way(name: str, threads: int, groups: int, take_turns: bool) -> Way:
        profiles = {}
        for stage, path in FILES.items():
            modelfile = NAMES[stage]
            options = typed_parameters(bundled.modelfile(modelfile))
            profile = build_profile(path, options, common_prefix(modelfile))
            load = msgspec.structs.replace(profile.load, groups=groups, threads=threads)
            profiles[stage] = msgspec.structs.replace(profile, load=load, modelfile=modelfile)
        origin = Origin("llama-cpp", is_model=True)
        model = LlamaCppModel(origin=origin, profiles=profiles, settings=KB.models)
        stack.callback(model.close)
        for stage in STAGES:
            model.prepare(stage)
        _set_turns(model, take_turns)
        return Way(name, model)

    with ExitStack() as stack:
        half = max(1, cores() // 2)
        ways = [
            open_way(f"in turns, {cores()} threads each", cores(), 1, True),
            open_way(f"at once, {cores()} threads each", cores(), 1, False),
            open_way("at once, half of the cores each", half, 1, False),
            open_way("at once, small files: a batch for each core", 1, cores(), False),
            open_way("in turns, small files: a batch for each core", 1, cores(), True),
        ]
        compare("Worker processes of finops", ways, work, rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--records", type=int, default=8)
    parser.add_argument("--only", choices=("servers", "workers"))
    given = parser.parse_args()
    work = make_work(given.records)
    parts: dict[str, Callable[[list[Work], int], None]] = {
        "servers": compare_servers,
        "workers": compare_workers,
    }
    for name, part in parts.items():
        if given.only in (None, name):
            part(work, given.rounds)


if __name__ == "__main__":
    main()
