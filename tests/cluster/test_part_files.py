"""Parts are written exactly once, whatever dies when, and a later run goes on from them."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.cluster.part_facts import collect_facts
from finops_cli.cluster.part_files import PartFiles, delete_parts, parts_root
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_worker import PartReport, PartWorker
from finops_cli.cluster.parts import Part
from finops_cli.errors import ResumeRefused, Unfinished
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import JsonLines
from tests.cluster.local_parts import (
    SMALL,
    answer_here,
    answer_in_children,
    make_setup,
    run_in_parts,
    run_locally,
    settings,
)
from tests.cluster.test_parts import blotter
from tests.support.records import a_fail, jsonl, rows


@pytest.fixture
def given(tmp_path: Path) -> JsonLines:
    """A small blotter."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(blotter())
    return JsonLines(path)


def with_killer() -> bytes:
    """The blotter, with a record in the middle of a part that kills its worker."""
    lines = blotter().splitlines(keepends=True)
    lines[17] = jsonl(a_fail(fail_id="killer"))
    return b"".join(lines)


@pytest.fixture
def local(given: JsonLines, tmp_path: Path) -> bytes:
    """The bytes of a local run."""
    run_locally(given, tmp_path / "local.jsonl")
    return (tmp_path / "local.jsonl").read_bytes()


def make_worker(given: JsonLines, files: PartFiles) -> PartWorker:
    return PartWorker(make_setup(files, PartSource(given, SMALL), settings().open(), given))


def cut(given: JsonLines) -> list[Part]:
    return [each.part for each in PartSource(given, SMALL).cut()]


def stop_after(count: int) -> object:
    """Return what answers the first `count` parts, then ends as a driver that is killed."""

    def answer(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        yield from list(answer_here(worker, parts))[:count]
        raise KeyboardInterrupt

    return answer


def begin(given: JsonLines, output: Path, parts: int = 4) -> PartFiles:
    """Begin a run that is interrupted when the workers have finished all parts, and the driver
    knows the last `parts` of them.
    """
    with pytest.raises(KeyboardInterrupt):
        run_in_parts(given, output, answer=stop_after(parts))  # type: ignore[arg-type]
    [folder] = parts_root(output).iterdir()
    files = PartFiles(output, folder.name)
    assert len(files.read_list()) == parts
    return files


def refuse_work(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
    raise AssertionError([part.name for part in parts])
    yield


def test_finished_parts_are_not_answered_again(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A resumed run takes every whole part, also those that the driver never heard of."""
    output = tmp_path / "out.jsonl"
    begin(given, output)
    done = run_in_parts(given, output, answer=refuse_work, resumes=True)
    assert done.executor is not None
    assert done.executor.stages[-1].reused == len(cut(given))
    assert output.read_bytes() == local


def test_resume_of_a_whole_output_answers_nothing(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A complete output is resumed without a worker, also when its parts are gone."""
    output = tmp_path / "out.jsonl"
    run_in_parts(given, output)
    delete_parts(output)
    run_in_parts(given, output, answer=refuse_work, resumes=True)
    assert output.read_bytes() == local


@pytest.mark.parametrize("damage", ["cut", "empty", "other lines", "no facts", "torn facts"])
def test_torn_part_is_answered_again(
    given: JsonLines, local: bytes, tmp_path: Path, damage: str
) -> None:
    """A part whose size or digest does not hold is answered again, whoever damaged it."""
    output = tmp_path / "out.jsonl"
    files = begin(given, output)
    for part in cut(given)[1::2]:
        path = files.path(part)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-20])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "other lines":
            path.write_bytes(path.read_bytes().replace(b"4000", b"4001"))
        for facts in files.folder.glob(f"{part.name}.*.facts"):
            if damage == "no facts":
                facts.unlink()
            elif damage == "torn facts":
                facts.write_bytes(facts.read_bytes()[:-20])
    done = run_in_parts(given, output, resumes=True)
    assert done.executor is not None
    assert done.executor.stages[-1].reused == len(cut(given)[0::2])
    assert output.read_bytes() == local


def test_torn_list_of_parts_is_read_to_its_last_line(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A list of parts that ends in the middle of a line loses that line, and no part."""
    output = tmp_path / "out.jsonl"
    files = begin(given, output)
    torn = files.folder / "parts.jsonl"
    torn.write_bytes(torn.read_bytes()[:-30])
    run_in_parts(given, output, answer=refuse_work, resumes=True)
    assert output.read_bytes() == local


def test_part_that_changes_during_the_run_ends_it(given: JsonLines, tmp_path: Path) -> None:
    """The merge takes only the bytes that the list names; `--resume` answers the part again."""
    output = tmp_path / "out.jsonl"

    def spoil(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        for report in answer_here(worker, parts):
            if report.part.first == 1:
                path = worker._setup.files.path(report.part)
                path.write_bytes(path.read_bytes().replace(b"F-", b"G-", 1))
            yield report

    with pytest.raises(Unfinished, match="was changed since it was written"):
        run_in_parts(given, output, answer=spoil)
    assert not output.read_bytes()


def test_second_attempt_at_a_part_deletes_its_own(given: JsonLines, tmp_path: Path) -> None:
    """Of two workers with one part the first one counts, and no stray file is left."""
    output = tmp_path / "out.jsonl"
    files = PartFiles(output, "0" * 64)
    files.make()
    part = cut(given)[0]
    first, second = make_worker(given, files), make_worker(given, files)
    with files.attempt(part, 3) as begun:
        assert begun is not None
        assert first.answer(part).outcome == "finished"
        before = files.path(part).stat()
        result = second._write_lines(part, begun, settings().open())
        assert files.publish(part, begun, collect_facts(result)) == files.find(part)
    assert files.path(part).stat().st_ino == before.st_ino
    assert not [path for path in files.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_record_that_kills_its_workers_fails_alone(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A part whose worker dies three times is split, down to the record; its neighbours go on."""
    path = tmp_path / "killer.jsonl"
    path.write_bytes(with_killer())
    output = tmp_path / "out.jsonl"
    done = run_in_parts(JsonLines(path), output, answer=answer_in_children(b'"killer"'))
    run_locally(JsonLines(path), tmp_path / "clean.jsonl")
    lines, clean = rows(output.read_bytes()), rows((tmp_path / "clean.jsonl").read_bytes())
    failed = [line for line in lines if line["status"] == "failed"]
    assert [line["fail_id"] for line in failed] == ["killer"]
    assert failed[0]["verification"]["triage"][0]["rule"] == "reply.crashed"
    assert [line for line in lines if line not in failed] == [
        line for line in clean if line["fail_id"] != "killer"
    ]
    assert done.summary.statuses["failed"] == 1
    assert done.files is not None
    assert not [each for each in done.files.folder.iterdir() if each.name.startswith(".0")]


@pytest.mark.slow
def test_split_part_is_resumed_by_its_pieces(given: JsonLines, tmp_path: Path) -> None:
    """A resumed run knows a record of which every worker died, and does not try it again."""
    path = tmp_path / "killer.jsonl"
    path.write_bytes(with_killer())
    output = tmp_path / "out.jsonl"
    run_in_parts(JsonLines(path), output, answer=answer_in_children(b'"killer"'))
    whole = output.read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    run_in_parts(JsonLines(path), output, answer=refuse_work, resumes=True)
    assert output.read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 1, 6, 7, 8, 40])
def test_run_goes_on_with_the_other_executor(
    given: JsonLines, local: bytes, tmp_path: Path, kept: int
) -> None:
    """The output is the journal of both executors: each continues what the other began."""
    output = tmp_path / "out.jsonl"
    run_in_parts(given, output)
    output.write_bytes(b"".join(local.splitlines(keepends=True)[:kept]) + b'{"half')
    run_locally(given, output, resumes=True)
    assert output.read_bytes() == local
    output.write_bytes(b"".join(local.splitlines(keepends=True)[:kept]) + b'{"half')
    delete_parts(output)
    run_in_parts(given, output, resumes=True)
    assert output.read_bytes() == local


def test_other_input_refuses_to_resume(given: JsonLines, tmp_path: Path) -> None:
    """A resumed run needs the input of the note, and says what differs."""
    output = tmp_path / "out.jsonl"
    run_in_parts(given, output)
    output.write_bytes(output.read_bytes()[:-1])
    (tmp_path / "fails.jsonl").write_bytes(blotter() + b"{}\n")
    with pytest.raises(ResumeRefused, match="the content of the input"):
        run_in_parts(given, output, resumes=True)


def test_full_disk_ends_the_run_and_it_goes_on(
    given: JsonLines, local: bytes, tmp_path: Path
) -> None:
    """A worker that cannot write ends the run with the name of the file; nothing is lost."""
    output = tmp_path / "out.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def with_little_room(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        yield from list(answer_here(worker, parts[-2:]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
        try:
            yield from answer_here(worker, parts[:-2])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    try:
        with pytest.raises(Unfinished, match=r"\.00000\d\.1: File too large"):
            run_in_parts(given, output, answer=with_little_room)
    finally:
        signal.signal(signal.SIGXFSZ, handler)
    done = run_in_parts(given, output, resumes=True)
    assert done.executor is not None
    assert done.executor.stages[-1].reused == 2
    assert output.read_bytes() == local


def test_delete_parts_deletes_nothing_else(given: JsonLines, tmp_path: Path) -> None:
    """Only folders that a run has named are deleted, never a folder behind a link."""
    output = tmp_path / "out.jsonl"
    run_in_parts(given, output)
    other = parts_root(output) / "mine"
    other.mkdir()
    (parts_root(output) / ("a" * 16)).symlink_to(tmp_path)
    delete_parts(output)
    assert sorted(path.name for path in parts_root(output).iterdir()) == ["a" * 16, "mine"]
    assert output.exists()
    assert (tmp_path / "fails.jsonl").exists()


def test_parts_are_for_their_owner_only(given: JsonLines, tmp_path: Path) -> None:
    """Part files hold what the output holds, so nobody else may read them."""
    output = tmp_path / "out.jsonl"
    done = run_in_parts(given, output)
    assert done.files is not None
    for path in [done.files.folder, done.files.folder.parent, *done.files.folder.iterdir()]:
        assert not path.stat().st_mode & 0o077, path


def test_list_of_parts_names_their_lines(given: JsonLines, tmp_path: Path) -> None:
    """`parts.jsonl` has a line for each part: its place, its bytes, its digest and its counts."""
    output = tmp_path / "out.jsonl"
    done = run_in_parts(given, output)
    assert done.files is not None
    listed = rows((done.files.folder / "parts.jsonl").read_bytes())
    assert sum(each["bytes"] for each in listed) > 0
    assert sum(sum(each["statuses"].values()) for each in listed) == done.summary.lines
    assert sorted(each["part"]["name"] for each in listed) == [part.name for part in cut(given)]


def test_ghost_of_another_run_writes_elsewhere(given: JsonLines, tmp_path: Path) -> None:
    """A worker whose driver was replaced by a run with other options leaves that run alone."""
    output = tmp_path / "out.jsonl"
    ghost_files = PartFiles(output, "f" * 64)
    ghost_files.make()
    part = cut(given)[0]
    with ghost_files.attempt(part, 3) as begun:
        assert begun is not None
        run_in_parts(given, output)
        delete_parts(output)
        begun.file.write(b"{}\n")
        ghost = make_worker(given, ghost_files)
        assert ghost.answer(part).outcome == "failed"
    assert resume.read_note(output).complete
    assert not parts_root(output).exists()


def test_facts_of_a_part_are_equal_for_equal_lines(given: JsonLines, tmp_path: Path) -> None:
    """Two runs leave equal part files and equal facts, so any attempt may be the first."""
    found = []
    for name in ("one.jsonl", "two.jsonl"):
        done = run_in_parts(given, tmp_path / name)
        assert done.files is not None
        found.append(
            {
                path.name: path.read_bytes()
                for path in done.files.folder.iterdir()
                if path.name != "parts.jsonl"
            }
        )
    assert found[0] == found[1]
    assert len(found[0]) == 2 * len(cut(given))


def test_folder_of_a_check_goes_with_late_files(tmp_path: Path) -> None:
    """A machine that answers a check too late leaves nothing behind; the parts of a run stay."""
    checked, kept = (PartFiles(tmp_path / "out.jsonl", digit * 64) for digit in "01")
    for files in (checked, kept):
        files.make()
    (checked.folder / ".node-late").write_text("here")
    checked.discard()
    assert list(parts_root(tmp_path / "out.jsonl").iterdir()) == [kept.folder]
    kept.discard()
    assert not parts_root(tmp_path / "out.jsonl").exists()
