"""Simulate what large jobs cost on 1, 10 and 100 workers, and on GPUs of three sizes.

    python -m benchmarks.scale                  # print the tables of docs/scale.md
    python -m benchmarks.scale --measure        # measure the units here, into benchmarks/scale.json
    python -m benchmarks.scale --write          # put the tables into docs/scale.md

Unit costs are measured on this machine as processor time, or cited. Nothing else is put in.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

UNITS = Path(__file__).with_name("scale.json")
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
WORKERS = (1, 10, 100)
BEGIN, END = "<!-- tables of benchmarks/scale.py -->", "<!-- end of the tables -->"
SEC_ROWS, SEC_FILES = 58_345, 24
"""Rows of the SEC's file of the first half of March 2023 by its trailer, and files of a year."""
RECORDS_OF_PART = 256
"""Records of a part where models answer (kb: `cluster.parts`)."""
PART_BYTES = 8 * 1024 * 1024
RESTART_S = 15
"""Seconds until Ray notices a lost machine, with its defaults (docs/guide/several-machines.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU, by the bandwidth of its memory: that bounds the tokens of a model."""

    name: str
    gb_per_s: float


GPUS = (
    Gpu(name="L4, 24 GB", gb_per_s=300),
    Gpu(name="A100, 80 GB", gb_per_s=2_039),
    Gpu(name="H100, 80 GB", gb_per_s=3_350),
)
WEIGHTS_GB = 16.0
"""8 billion weights of 16 bit."""
OF_CEILING, OF_EIGHT = 0.77, 6.6
"""Measured by others on an A100 of 40 GB: the part of the bandwidth that one sequence reaches, and
the gain of eight sequences at once.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Independent parts, the driver's time for each, and the start of a worker, in seconds."""

    name: str
    parts: int
    part_s: float
    driver_s: float = 0.0
    start_s: float = 0.0


def simulate(job: Job, workers: int, *, loses_one: bool = False) -> float:
    """Return the seconds until the last part is written.

    Parts go to the worker that is free first. Their durations vary by a tenth, seeded. The driver
    cuts them before, and writes them in order after, one at a time. `loses_one`: in the middle one
    worker is lost with its part, and this is noticed after `RESTART_S` seconds.
    """
    draw = Random(31)
    durations = [job.part_s * draw.uniform(0.9, 1.1) for _ in range(job.parts)]
    cut = job.parts * job.driver_s / 2
    free = [cut + job.start_s] * min(workers, job.parts)
    heapq.heapify(free)
    written, lost_at = cut, job.parts // 2 if loses_one else -1
    for number, duration in enumerate(durations):
        begins = heapq.heappop(free)
        if number == lost_at:
            begins += duration / 2 + RESTART_S
            if free:  # another worker takes the part, once the loss is noticed
                begins = max(begins, heapq.heappop(free))
        heapq.heappush(free, begins + duration)
        written = max(written, begins + duration) + job.driver_s / 2
    return written


def list_jobs(units: dict[str, float]) -> list[Job]:
    """List the jobs whose time the processors of the workers decide."""
    per_part = int(PART_BYTES / units["record_bytes"])
    driver = per_part * units["driver_ms"] / 1e3
    sec_rows = SEC_ROWS * SEC_FILES
    return [
        Job(
            name="a market's day: 10^5 fails, the rules",
            parts=-(-100_000 // per_part),
            part_s=per_part * units["engine_ms"] / 1e3,
            driver_s=driver,
            start_s=units["start_s"],
        ),
        Job(
            name=f"a year of SEC files: {sec_rows:,} rows imported, then the rules",
            parts=-(-sec_rows // per_part),
            part_s=per_part * units["engine_ms"] / 1e3,
            driver_s=driver + per_part * units["sec_ms"] / 1e3,
            start_s=units["start_s"],
        ),
        Job(
            name="10^8 training rows: half triage, half resolver",
            parts=10_000,
            part_s=10_000 * (units["triage_row_ms"] + units["resolver_row_ms"]) / 2 / 1e3,
        ),
    ]


def gpu_tokens_per_s(gpu: Gpu) -> float:
    """Return the tokens a second of eight sequences at once."""
    return gpu.gb_per_s / WEIGHTS_GB * OF_CEILING * OF_EIGHT


def gpu_job(gpu: Gpu, units: dict[str, float]) -> Job:
    """Return a market's day with language models: the answers of both stages."""
    tokens = units["triage_tokens"] + units["resolver_tokens"] * units["planned"]
    seconds = max(tokens / gpu_tokens_per_s(gpu), units["verified_ms"] / 1e3)
    return Job(
        name=gpu.name,
        parts=-(-100_000 // RECORDS_OF_PART),
        part_s=RECORDS_OF_PART * seconds,
        driver_s=RECORDS_OF_PART * units["driver_ms"] / 1e3,
        start_s=units["start_s"],
    )


def render(units: dict[str, Any]) -> str:
    """Write the tables of the page."""
    return "\n".join([*_unit_rows(units), "", *_job_rows(units), "", *_gpu_rows(units)])


def _unit_rows(units: dict[str, Any]) -> Iterator[str]:
    yield f"Measured on {units['day']}, {units['machine']}:"
    yield ""
    yield "| unit | cost |"
    yield "|---|---|"
    for key, text in TEXTS.items():
        yield (
            f"| {text} | {units[key]:,.3g} |"
            if units[key] < 1000
            else (f"| {text} | {units[key]:,.0f} |")
        )


TEXTS = {
    "engine_ms": "one fail, the rules, both stages, read and written: ms of processor",
    "driver_ms": "one fail in the driver of a cluster, cut, compared and written: ms of processor",
    "sec_ms": "one row of an SEC file, imported: ms of processor",
    "triage_row_ms": "one training row of triage: ms of processor",
    "resolver_row_ms": "one training row of the resolver: ms of processor",
    "verified_ms": "one fail with models, everything but the models: ms of processor",
    "record_bytes": "one fail of the benchmark: bytes",
    "triage_tokens": "one answer of triage: tokens, estimated high",
    "resolver_tokens": "one answer of the resolver: tokens, estimated high",
    "planned": "fails with a plan, of all",
    "start_s": "start of a worker until its first part: s",
}


def _job_rows(units: dict[str, float]) -> Iterator[str]:
    yield "| job | 1 worker | 10 workers | 100 workers | 10, one is lost | hours of processor |"
    yield "|---|---|---|---|---|---|"
    for job in list_jobs(units):
        times = [format_time(simulate(job, count)) for count in WORKERS]
        lost = format_time(simulate(job, 10, loses_one=True))
        hours = job.parts * (job.part_s + job.driver_s) / 3600
        yield f"| {job.name} | {' | '.join(times)} | {lost} | {hours:,.3g} |"


def _gpu_rows(units: dict[str, float]) -> Iterator[str]:
    counts = " | ".join(f"{count} GPUs" if count > 1 else "1 GPU" for count in WORKERS)
    yield f"| a market's day with models | tokens a second | {counts} | GPU hours |"
    yield "|---|---|---|---|---|---|"
    for gpu in GPUS:
        job = gpu_job(gpu, units)
        times = " | ".join(format_time(simulate(job, count)) for count in WORKERS)
        hours = job.parts * job.part_s / 3600
        yield f"| {gpu.name} | {gpu_tokens_per_s(gpu):,.0f} | {times} | {hours:,.3g} |"


def format_time(seconds: float) -> str:
    """Write seconds with two digits, in the largest unit that fits."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return (
                f"{seconds / size:,.2g} {unit}"
                if seconds < 100 * size
                else (f"{seconds / size:,.0f} {unit}")
            )
    return f"{seconds:,.2g} s" if seconds < 100 else f"{seconds:,.0f} s"


def put_tables(page: str, tables: str) -> str:
    """Return the page with other tables."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Measure, print or write."""
    if "--measure" in sys.argv:
        from benchmarks.scale_units import measure

        UNITS.write_text(json.dumps(measure(), indent=2) + "\n")
    tables = render(json.loads(UNITS.read_text()))
    print(tables)
    if "--write" in sys.argv:
        PAGE.write_text(put_tables(PAGE.read_text("utf-8"), tables), "utf-8")


if __name__ == "__main__":
    main()
