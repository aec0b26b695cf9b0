"""Measure `finops run --executor ray` against a run on this machine, in one run, as ratios.

    python -m benchmarks.cluster [RECORDS] [MODEL_RECORDS]      # RECORDS 0: models only

It needs the extra `ray`. The cluster is within this machine: a head without processors and two
machines of two. Start-up (Ray, the checks of the machines) is reported apart. Processor time
includes the command, its workers and Ray itself. The time of a quarter of the records is
subtracted, so that start-up does not count. Other work on the machine hardly does. Model-bound
runs ask a fake server of OpenAI's API at a model's pace, as a process of its own.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.blotters import write_blotter
from benchmarks.verification_loop import make_fails
from finops_cli.cluster.part_files import parts_root
from finops_cli.kb.load import bundled_kb_dir

STORE = 80 * 1024 * 1024
WORKERS = 4
_CUT = "bytes = 8388608, records = 256"
_URL = re.compile(r"http://[^ ]+")
_PACE = ("--tokens-per-second", "100")
"""So slow that the server does not need a processor of its own."""


class Timed(NamedTuple):
    """A run that ended: seconds in all and since the first worker began, and the peak memory."""

    seconds: float
    answering: float
    cpu: float
    """Seconds of processor of the command and its workers."""
    peak_mb: float
    parts_s: float
    """Parts a second, from the first one that was finished to the last."""


def main() -> None:
    """Print the table of benchmarks/RESULTS.md."""
    numbers = [int(text) for text in sys.argv[1:]]
    records, asked = (*numbers, *(20_000, 40)[len(numbers) :])
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as made, open_cluster() as (cluster, nodes):
        folder = Path(made)
        if records:
            measure_engine(folder, records, cluster.address)
        with fake_server() as url:
            measure_models(folder, asked, cluster, nodes, url)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def measure_engine(folder: Path, records: int, address: str) -> None:
    """Compare the rules alone, with equal numbers of processes; and resume, and memory."""
    given, few = folder / "fails.jsonl", folder / "few.jsonl"
    write_blotter(given, records, seed=1)
    write_blotter(few, records // 4, seed=1)
    local = run(given, folder / "local.jsonl", "--workers", 2)
    local_few = run(few, folder / "few.out.jsonl", "--workers", 2)
    run(few, folder / "first.jsonl", "--workers", 2, *on(address))  # the first run costs more
    less = run(few, folder / "few-ray.jsonl", "--workers", 2, *on(address))
    ray = run(given, folder / "ray.jsonl", "--workers", 2, *on(address))
    again = run(given, folder / "ray.jsonl", *on(address), "--resume")
    same = (folder / "local.jsonl").read_bytes() == (folder / "ray.jsonl").read_bytes()
    print(f"engine, {records:,} records: equal bytes {same}")
    print(
        f"  --workers 2 {local.seconds:.1f} s; ray {ray.seconds:.1f} s,"
        f" answering {ray.answering:.1f} s"
    )
    print(f"  answering to --workers 2: {ray.answering / local.seconds:.2f} x")
    more, local_more = ray.cpu - less.cpu, local.cpu - local_few.cpu
    print(
        f"  processor time of three quarters of the records: {local_more:.1f} s, ray {more:.1f} s:"
        f" {more / local_more:.2f} x"
    )
    print(f"  resume of the finished run: {again.seconds:.1f} s")
    print(f"  peak of the driver: {less.peak_mb:.0f} MB for {records // 4:,}, {ray.peak_mb:.0f} MB")


def measure_models(folder: Path, asked: int, cluster: Any, nodes: list[Any], url: str) -> None:
    """Compare one worker with four, and with a machine that is killed."""
    given, kb_dir = folder / "asked.jsonl", small_parts(folder)
    given.write_bytes(b"\n".join(make_fails(asked)) + b"\n")
    models = ("--backend", "openai", "--host", url)
    one = run(given, folder / "one.jsonl", *models, *on(cluster.address), "--workers", 1, kb=kb_dir)
    four = run(given, folder / "four.jsonl", *models, *on(cluster.address), kb=kb_dir)
    killed = run(
        given,
        folder / "killed.jsonl",
        *models,
        *on(cluster.address),
        kb=kb_dir,
        after_parts=lambda: cluster.remove_node(nodes[0], allow_graceful=False),
    )
    outputs = {path: (folder / f"{path}.jsonl").read_bytes() for path in ("one", "four", "killed")}
    print(f"models, {asked} records in parts of 2: equal bytes {len(set(outputs.values())) == 1}")
    print(f"  1 worker {one.answering:.1f} s, {WORKERS} workers {four.answering:.1f} s:", end=" ")
    print(f"{one.answering / four.answering / WORKERS:.2f} of linear with the start of workers")
    print(
        f"  parts a second, from the first to the last: {one.parts_s:.2f} and {four.parts_s:.2f}:"
    )
    print(f"  {four.parts_s / one.parts_s / WORKERS:.2f} of linear")
    print(f"  one of two machines killed: {killed.answering:.1f} s")
    print(f"  more than half the workers need: {killed.answering - one.answering / 2:.1f} s")


def on(address: str) -> tuple[str, ...]:
    return ("--executor", "ray", "--ray", address, "--keep-parts")


def run(
    given: Path, output: Path, *more: object, kb: Path | None = None, after_parts: Any = None
) -> Timed:
    """Run finops, and `after_parts` once a fifth of the parts is finished."""
    rules = [] if kb is None else ["--kb", str(kb)]
    command = [sys.executable, "-m", "finops_cli", *rules, "run", str(given), "-o", str(output)]
    command += ["-q", "--no-timing", *map(str, more)]
    if "--backend" not in command:
        command += ["--backend", "engine"]
    started, began, peak = time.monotonic(), 0.0, 0.0
    cpu = _WorkersTime()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        lists = list(parts_root(output).glob("*/.*.1")) or list(
            parts_root(output).glob("*/*.jsonl")
        )
        began = began or (time.monotonic() if lists else 0.0)
        peak = max(peak, _peak_of(process.pid))
        cpu.look()
        if after_parts and sum(1 for _ in parts_root(output).glob("*/0*.jsonl")) >= 4:
            after_parts()
            after_parts = None
        time.sleep(0.05)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    ended = time.monotonic()
    return Timed(
        seconds=ended - started,
        answering=ended - (began or started),
        cpu=cpu.seconds,
        peak_mb=peak,
        parts_s=_parts_a_second(output),
    )


class _WorkersTime:
    """The processor time of the children of this process that end, and of all processes of Ray."""

    def __init__(self) -> None:
        self._begun, self._children = self._of_ray(), self._of_children()
        self._last: dict[int, float] = {}

    def look(self) -> None:
        """Look at the processes of Ray: one that ends cannot be asked later."""
        self._last |= self._of_ray()

    @property
    def seconds(self) -> float:
        """The seconds of processor since this was made."""
        self.look()
        of_ray = (seconds - self._begun.get(pid, 0.0) for pid, seconds in self._last.items())
        return self._of_children() - self._children + sum(of_ray)

    @staticmethod
    def _of_children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    @staticmethod
    def _of_ray() -> dict[int, float]:
        ticks, found = os.sysconf("SC_CLK_TCK"), {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                name = path.read_bytes()
                fields = (path.parent / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if name.startswith(b"ray::") or b"raylet" in name or b"ray/_private" in name:
                found[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
        return found


def _parts_a_second(output: Path) -> float:
    times = sorted(path.stat().st_mtime for path in parts_root(output).glob("*/0*.jsonl"))
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _peak_of(pid: int) -> float:
    """Return the highest memory of a process so far in MB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in status.splitlines() if "VmHWM" in line), 0)


def small_parts(folder: Path) -> Path:
    """Return rules by which a part has 2 records."""
    copy = folder / "kb"
    copy.mkdir()
    for file in bundled_kb_dir().glob("*.toml"):
        text = file.read_text("utf-8").replace(_CUT, "bytes = 8388608, records = 2")
        (copy / file.name).write_text(text, "utf-8")
    return copy


@contextmanager
def open_cluster() -> Iterator[tuple[Any, list[Any]]]:
    """A head without processors, and two machines of two, within this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"] = "1"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=2, object_store_memory=STORE) for _ in range(2)]
    try:
        yield cluster, nodes
    finally:
        cluster.shutdown()


@contextmanager
def fake_server() -> Iterator[str]:
    """A fake server at a model's pace that answers any number of requests at once."""
    command = [sys.executable, "-m", "finops_cli.devtools.fake_openai", "--port", "0", *_PACE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield "" if process.stderr is None else _URL.findall(process.stderr.readline())[0]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
