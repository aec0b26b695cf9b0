"""Measure the unit costs of `benchmarks.scale` on this machine, as processor time.

Each cost is the difference of two runs of different sizes, so that start-up is left out. Other work
on the machine changes processor time by a half at most, and wall time several times.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from benchmarks.blotters import write_blotter
from finops_cli.cluster.executor import PartsExecutor
from finops_cli.cluster.part_files import PartFiles
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_worker import PartReport, PartWorker
from finops_cli.cluster.parts import Part, PartSize
from finops_cli.cluster.worker_setup import WorkerSetup
from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.domain.cusip import ALPHABET, check_digit
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import JsonLines
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.run import RunConfig, run
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import SEQUENCES

FEW, MANY = 4_000, 12_000


def measure() -> dict[str, Any]:
    """Measure everything that is not cited."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        few, many = folder / "few.jsonl", folder / "many.jsonl"
        write_blotter(few, FEW, seed=1)
        write_blotter(many, MANY, seed=1)
        answers = folder / "answers.jsonl"
        options = ("--backend", "engine", "-q", "--no-timing", "-o", answers, "--overwrite")
        engine = difference(lambda size: ("run", many if size == MANY else few, *options))
        return {
            "day": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} shared processors, load {os.getloadavg()[0]:.0f}",
            "engine_ms": engine,
            "driver_ms": measure_driver(folder, many),
            "sec_ms": measure_sec(folder),
            "triage_row_ms": measure_rows(folder, "triage"),
            "resolver_row_ms": measure_rows(folder, "resolver"),
            "verified_ms": measure_verified(folder),
            "record_bytes": many.stat().st_size / MANY,
            **count_tokens(answers),
            "start_s": measure_start(),
        }


def difference(
    command: Callable[[int], tuple[object, ...]], few: int = FEW, many: int = MANY
) -> float:
    """Return the milliseconds of processor time for one more record."""
    return (processor_s(command(many)) - processor_s(command(few))) / (many - few) * 1e3


def processor_s(arguments: tuple[object, ...]) -> float:
    """Run finops and return the seconds of processor time that it took with its children."""
    command = [sys.executable, "-m", "finops_cli", *map(str, arguments)]
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"{command} ended with status {status}")
    return used.ru_utime + used.ru_stime


def measure_start() -> float:
    """Return the seconds that a process takes to import a worker and to load its rules."""
    code = "from finops_cli.cluster.part_worker import PartWorker; from finops_cli.kb.load import"
    code += " *; load_kb(bundled_kb_dir())"
    began = time.monotonic()
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    os.waitpid(process, 0)
    return time.monotonic() - began


def measure_rows(folder: Path, stage: str) -> float:
    """Return the cost of one row of training data."""

    def command(rows: int) -> tuple[object, ...]:
        output = folder / f"{stage}-{rows}"
        return ("generate", "--stage", stage, "-n", rows, "-o", output, "-q", "--workers", 1)

    return difference(command, 1_000, 4_000)


def measure_sec(folder: Path) -> float:
    """Return the cost of one row of an SEC file."""

    def command(rows: int) -> tuple[object, ...]:
        path = folder / f"cnsfails202303a-{rows}.txt"
        path.write_text("".join(sec_rows(rows)))
        return ("import", "sec-fails", path, "-o", folder / f"sec-{rows}.jsonl", "-q")

    return difference(command)


def sec_rows(count: int) -> Iterator[str]:
    """Yield a file as the SEC publishes it: ten days, each security on one to ten of them."""
    draw = Random(3)
    yield "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE\n"
    rows: list[tuple[int, str]] = []
    while len(rows) < count:
        issue = "".join(draw.choices(ALPHABET[:36], k=8))
        cusip = issue + check_digit(issue)
        first = draw.randrange(10)
        for day in range(first, min(10, first + draw.randrange(1, 11))):
            number = draw.randrange(1, 90_000)
            when = (1, 2, 3, 6, 7, 8, 9, 10, 13, 14)[day]
            rows.append((day, f"202303{when:02}|{cusip}|{issue[:4]}|{number}|CO|9.5\n"))
    yield from (text for _, text in sorted(rows[:count]))


def measure_verified(folder: Path) -> float:
    """Return the cost of one fail beside the models: prompts, requests, checks, lines."""
    with FakeOllama() as server:
        os.environ["OLLAMA_HOST"] = server.url

        def command(count: int) -> tuple[object, ...]:
            given = folder / f"asked-{count}.jsonl"
            write_blotter(given, count, seed=2)
            output = folder / f"verified-{count}.jsonl"
            return ("run", given, "--backend", "ollama", "-q", "-o", output, "--workers", 4)

        return difference(command, 100, 500)


def count_tokens(answers: Path) -> dict[str, float]:
    """Return the mean tokens of the answers, and the part of the fails that have a plan."""
    triage: list[int] = []
    plans: list[int] = []
    for text in answers.read_text().splitlines():
        line = json.loads(text)
        if line["triage"] is None:
            continue
        triage.append(estimated_tokens(json.dumps(line["triage"], separators=(",", ":"))))
        if line["resolution"] is not None:
            plan = json.dumps(line["resolution"], separators=(",", ":"))
            plans.append(estimated_tokens(plan))
    return {
        "triage_tokens": sum(triage) / len(triage),
        "resolver_tokens": sum(plans) / len(plans),
        "planned": len(plans) / len(triage),
    }


def measure_driver(folder: Path, given: Path) -> float:
    """Return the driver's cost of one fail: a run whose parts are all finished already."""
    output = folder / "parts.jsonl"
    _run_in_parts(given, output, resumes=False)
    os.truncate(output, 0)
    began = time.process_time()
    _run_in_parts(given, output, resumes=True)
    return (time.process_time() - began) / MANY * 1e3


def _run_in_parts(given: Path, output: Path, *, resumes: bool) -> None:
    config = PipelineConfig(sequence=SEQUENCES["run"], kb_dir=bundled_kb_dir(), timed=False)
    pipeline = config.open()
    source = PartSource(JsonLines(given), PartSize(1_000_000))

    def files() -> PartFiles:
        note = msgspec.json.encode(resume.made_from(output))
        return PartFiles(output, hashlib.sha256(note).hexdigest())

    def answer(found: PartFiles, parts: list[Part]) -> Iterator[PartReport]:
        worker = PartWorker(_setup(found, source, config, pipeline))
        yield from map(worker.answer, parts)

    executor = PartsExecutor(
        source=source, pipeline=pipeline, files=files, answer=answer, attempts=3
    )
    asked = RunConfig(
        pipeline=config, input=JsonLines(given), output=output, resume=resumes, executor=executor
    )
    run(asked, pipeline, lambda *_: None)


def _setup(
    files: PartFiles, source: PartSource, config: PipelineConfig, pipeline: Pipeline
) -> WorkerSetup:
    return WorkerSetup(
        source=source.path,
        files=files,
        pipeline=config,
        request=BackendRequest(backend="engine"),
        origin=pipeline.backend.origin,
        keeps_raw=False,
        has_bundled_rules=True,
        kb_sha256=load_kb(bundled_kb_dir()).sha256,
        attempts=3,
    )
