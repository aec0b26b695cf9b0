"""A line that is begun by the workers of one model and finished by those of the next one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.cluster.line_stages import StagesName
from finops_cli.cluster.part_files import parts_root
from finops_cli.cluster.part_worker import PartReport, PartWorker
from finops_cli.cluster.parts import Part, PartSize
from finops_cli.commands.table_options import open_several
from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.devtools.fake_ollama.faults import faulty
from finops_cli.pipeline.input_source import JsonLines
from tests.cluster.local_parts import (
    SMALL,
    Answer,
    answer_here,
    answer_in_children,
    ollama_request,
    run_in_parts,
    run_locally,
)
from tests.cluster.test_part_files import with_killer
from tests.cluster.test_parts import INPUTS, blotter
from tests.support.records import a_fail, jsonl, rows


@pytest.fixture
def given(tmp_path: Path) -> JsonLines:
    """A small blotter."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(blotter())
    return JsonLines(path)


@pytest.fixture
def local(given: JsonLines, tmp_path: Path) -> bytes:
    """The bytes of a local run."""
    run_locally(given, tmp_path / "local.jsonl")
    return (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("size", [SMALL, PartSize(10_000_000)])
def test_split_run_gives_the_bytes_of_a_local_run(
    tmp_path: Path, name: str, size: PartSize
) -> None:
    """Broken lines, repeated names and pasted records pass both pools as they pass one process."""
    given = tmp_path / "fails.jsonl"
    given.write_bytes(INPUTS[name])
    local = run_locally(JsonLines(given), tmp_path / "local.jsonl")
    parts = run_in_parts(JsonLines(given), tmp_path / "parts.jsonl", size=size, is_split=True)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    if name != "empty":
        assert parts.summary == local.summary


@pytest.mark.slow
def test_split_models_keep_faults_masks_and_raw_text(tmp_path: Path) -> None:
    """Answers that were wrong, torn or repaired, their raw text and what the guard masked are those
    of a run in one process.
    """
    lines = [a_fail(fail_id=f"F-{n}", age_days=n, notes="call jo@example.com") for n in range(12)]
    given = tmp_path / "fails.jsonl"
    given.write_bytes(b"".join(jsonl(line) for line in lines) + b'{"qty": 1}\n')
    outputs, summaries = [], []
    for name, is_split in (("local", False), ("split", True)):
        with FakeOllama(faulty({"prose": 0.3, "torn": 0.1}, 0.3, seed=4)) as server:
            done = run_in_parts(
                JsonLines(given),
                tmp_path / name,
                request=ollama_request(server.url),
                is_split=is_split,
                size=SMALL if is_split else PartSize(10_000_000),
            )
        outputs.append((tmp_path / name).read_bytes())
        summaries.append(done.summary)
    assert outputs[0] == outputs[1]
    assert summaries[0] == summaries[1]
    assert {"ok", "rejected"} < {line["status"] for line in rows(outputs[0])}
    assert b'"attempt_errors"' in outputs[0]
    assert b'"raw"' in outputs[0]
    assert b"jo@example.com" not in outputs[0]


def test_split_lines_of_several_files_keep_their_places(tmp_path: Path) -> None:
    """The second pool names the file of a line and its number there, as a local run does."""
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(blotter(20))
    (folder / "b.jsonl").write_bytes(blotter(30))
    given = open_several(folder)
    assert given is not None
    local = run_locally(given, tmp_path / "local.jsonl")
    parts = run_in_parts(given, tmp_path / "parts.jsonl", is_split=True)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert parts.summary == local.summary


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["first", "later"])
def test_killer_of_either_pool_fails_alone(tmp_path: Path, stages: StagesName) -> None:
    """A record of which every worker of a pool dies is marked, and its neighbours are answered."""
    given = tmp_path / "fails.jsonl"
    given.write_bytes(with_killer())
    run_locally(JsonLines(given), tmp_path / "local.jsonl")
    output = tmp_path / "out.jsonl"
    killing = answer_in_children(b"killer", dies_in=stages)
    done = run_in_parts(JsonLines(given), output, answer=killing, is_split=True)
    assert done.executor is not None
    assert [each.split > 0 for each in done.executor.stages] == [
        stages == "first",
        stages == "later",
    ]
    found, expected = rows(output.read_bytes()), rows((tmp_path / "local.jsonl").read_bytes())
    assert [line["status"] for line in found if line["fail_id"] == "killer"] == ["failed"]
    assert [line for line in found if line["fail_id"] != "killer"] == [
        line for line in expected if line["fail_id"] != "killer"
    ]


def stop_in(stages: StagesName, count: int) -> Answer:
    """Return what ends, as a driver that is killed, after `count` reports in these stages."""

    def answer(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        reports = answer_here(worker, parts)
        if worker._setup.stages != stages:
            yield from reports
            return
        yield from list(reports)[:count]
        raise KeyboardInterrupt

    return answer


def refuse_stages(*refused: StagesName) -> Answer:
    """Return what answers parts, but none in these stages."""

    def answer(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        assert worker._setup.stages not in refused, [part.name for part in parts]
        yield from answer_here(worker, parts)

    return answer


@pytest.mark.parametrize("stages", ["first", "later"])
def test_split_run_goes_on_where_its_driver_died(
    given: JsonLines, local: bytes, tmp_path: Path, stages: StagesName
) -> None:
    """Parts that either pool has finished are not answered again, even those that no driver heard
    of.
    """
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_in_parts(given, output, answer=stop_in(stages, 2), is_split=True)
    refused: tuple[StagesName, ...] = ("first",) if stages == "first" else ("first", "later")
    run_in_parts(given, output, answer=refuse_stages(*refused), resumes=True, is_split=True)
    assert output.read_bytes() == local


def test_lines_of_the_output_are_not_begun_again(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A split run continues the output of a local one: only the parts of its last lines are
    answered, in both pools.
    """
    output = tmp_path / "out.jsonl"
    run_locally(given, output)
    lines = local.splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:-1]))
    done = run_in_parts(given, output, resumes=True, is_split=True)
    assert done.executor is not None
    assert [each.places.total() for each in done.executor.stages] == [1, 1]
    assert output.read_bytes() == local


def test_damaged_half_done_lines_are_made_again(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A part of the first pool whose digest does not hold is begun again, and finished again."""
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_in_parts(given, output, answer=stop_in("later", 0), is_split=True)
    [first] = [path for path in parts_root(output).iterdir() if not list(path.glob("*.input"))]
    halves = sorted(first.glob("0*.jsonl"))
    halves[1].write_bytes(halves[1].read_bytes()[:-9])
    begun: list[str] = []

    def note(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        if worker._setup.stages == "first":
            begun.extend(part.name for part in parts)
        yield from answer_here(worker, parts)

    run_in_parts(given, output, answer=note, resumes=True, is_split=True)
    assert begun == [halves[1].stem]
    assert output.read_bytes() == local
