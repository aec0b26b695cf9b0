"""`finops generate --executor ray`: rows in parts are the rows of one machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from finops_cli.cluster.row_parts import (
    RowPart,
    RowReport,
    RowSetup,
    RowWorker,
    decode_rows_report,
    encode_rows,
)
from finops_cli.cluster.row_session import PartedRows
from finops_cli.datasets.generate import GenerateOptions, make_data
from finops_cli.errors import Unfinished
from finops_cli.kb.load import bundled_kb_dir, load_kb
from tests.cluster.local_parts import start_patiently
from tests.support.own_kb import change_kb
from tests.support.program import Finops

ROWS = 90


@pytest.fixture(scope="module")
def kb_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules by which a part has 40 rows."""
    folder = tmp_path_factory.mktemp("rules")
    return change_kb(folder, "cluster.toml", "rows = 2000", "rows = 40")


def options(folder: Path, **changed: Any) -> GenerateOptions:
    given: dict[str, Any] = {
        "stage": None,
        "rows": ROWS,
        "seed": 7,
        "profile": "coverage",
        "parquet": False,
        "workers": 1,
    }
    return GenerateOptions(folder=folder, **{**given, **changed})


def answer_here(setup: RowSetup, parts: Sequence[RowPart]) -> Iterator[RowReport]:
    """Make parts in this process, the last one first."""
    worker = RowWorker(setup)
    for part in reversed(parts):
        [report] = worker({"part": [encode_rows(part)]})["report"]
        yield decode_rows_report(report)


def stop_after_two(setup: RowSetup, parts: Sequence[RowPart]) -> Iterator[RowReport]:
    """Make two parts, then end as a driver that is killed."""
    yield from list(answer_here(setup, parts[:2]))
    raise KeyboardInterrupt


def refuse_work(setup: RowSetup, parts: Sequence[RowPart]) -> Iterator[RowReport]:
    raise AssertionError(parts)
    yield


def generate(folder: Path, kb_dir: Path, answer: Any, **changed: Any) -> PartedRows:
    rows = PartedRows(folder, load_kb(kb_dir), answer)
    make_data(options(folder, **changed), kb_dir, lambda _: None, rows.make_rows)
    rows.complete(["triage", "resolver"])
    return rows


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def local(kb_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a local generate."""
    folder = tmp_path_factory.mktemp("local")
    make_data(options(folder), kb_dir, lambda _: None)
    return files(folder)


@pytest.mark.slow
def test_rows_in_parts_are_those_of_one_machine(
    kb_dir: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    """The files, their card and nothing else, whatever the order in which parts are finished."""
    rows = generate(tmp_path, kb_dir, answer_here)
    assert (rows.made, rows.reused) == (6, 0)
    assert files(tmp_path) == local


@pytest.mark.slow
def test_killed_generate_goes_on_with_its_parts(
    kb_dir: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    """Parts that a killed command has finished are not made again; a torn one is."""
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, kb_dir, stop_after_two)
    [folder] = (tmp_path / "triage.parts").iterdir()
    found = sorted(folder.iterdir())
    assert [path.name for path in found] == ["0000000000.rows", "0000000040.rows"]
    found[1].write_bytes(found[1].read_bytes()[:-9])
    (folder / ".0000000080.rows.of-a-dead-worker").write_bytes(b"half")
    rows = generate(tmp_path, kb_dir, answer_here)
    assert (rows.made, rows.reused) == (5, 1)
    assert files(tmp_path) == local


@pytest.mark.slow
def test_parts_of_another_dataset_are_not_used(
    kb_dir: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    """Another seed is another dataset: its parts are deleted, and no file has their rows."""
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, kb_dir, stop_after_two, seed=8)
    assert generate(tmp_path, kb_dir, answer_here).reused == 0
    assert files(tmp_path) == local


def test_finished_parts_need_no_worker(kb_dir: Path, tmp_path: Path) -> None:
    """A command that was killed after its last part needs no cluster."""
    rows = PartedRows(tmp_path, load_kb(kb_dir), answer_here)
    make_data(options(tmp_path, stage="triage"), kb_dir, lambda _: None, rows.make_rows)
    assert generate(tmp_path, kb_dir, refuse_work, stage="triage").reused == 3


def test_worker_with_other_rules_ends_the_command(kb_dir: Path, tmp_path: Path) -> None:
    """A machine whose rules differ makes no row, and no file is written."""
    rows = PartedRows(tmp_path, load_kb(bundled_kb_dir()), answer_here)
    with pytest.raises(Unfinished, match="the rules differ"):
        make_data(options(tmp_path), kb_dir, lambda _: None, rows.make_rows)
    assert not list(tmp_path.glob("*.jsonl"))


def test_generate_refuses_what_no_cluster_can_do(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--ray alone, and rows that are read from a file, end with 2; missing Ray ends with 3."""
    call = ("generate", "-n", 10, "-o", tmp_path / "data", "-q")
    assert b"only with --executor ray" in finops(*call, "--ray", "auto").stderr
    bank = tmp_path / "bank.txt"
    bank.write_text("profit rose@positive\n")
    read = (*call, "--stage", "sentiment", "--phrasebank", bank, "--executor", "ray")
    done = finops(*read)
    assert (done.returncode, b"not made" in done.stderr) == (2, True)
    monkeypatch.setattr("finops_cli.cluster.connect.find_spec", lambda _: None)
    done = finops(*call, "--executor", "ray")
    assert done.returncode == 3
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_cluster_makes_the_rows_of_one_machine(
    cluster: Any, nodes: list[Any], kb_dir: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    """`finops generate --executor ray` writes the files of a local one, and leaves no part."""
    pytest.importorskip("ray")
    call = ("--kb", kb_dir, "generate", "-n", ROWS, "-o", tmp_path, "-q")
    done = start_patiently(*call, "--executor", "ray", "--ray", cluster.address)
    assert (done.returncode, done.stderr) == (0, b"")
    assert files(tmp_path) == local
