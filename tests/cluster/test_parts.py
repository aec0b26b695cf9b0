"""A run in parts gives the bytes and the counts of a run without them, whatever the input holds."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.parts import PartSize, open_part, split_part
from finops_cli.cluster.worker_setup import absolute_request
from finops_cli.commands.table_options import open_several
from finops_cli.domain.finding import Damage
from finops_cli.errors import InputChanged
from finops_cli.files.jsonl import Batches
from finops_cli.importers.joins.joined_source import JoinedSource
from finops_cli.importers.joins.receives import ReceivesIndex
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.pipeline.input_source import InputSource, JsonLines
from finops_cli.pipeline.inputs import InputPolicy
from tests.cluster.local_parts import SMALL, run_in_parts, run_locally
from tests.pipeline.test_pasted_text import TRIAGE_TEXT
from tests.support.records import a_fail, jsonl

STOCK = {
    "box_qty": 5000,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 0,
}


def blotter(count: int = 60) -> bytes:
    """Fails of which some repeat a name, share a box, or cannot be used; and blank lines."""
    draw, lines = Random(3), []
    for number in range(count):
        record = a_fail(fail_id=f"F-{draw.randrange(count)}", qty=4000, cns_position=-4000)
        lines.append(jsonl({**record, "inventory": STOCK} if number % 3 else record))
    lines[5:5] = [b"\n", b"not JSON\n", b"   \n", b'{"qty": 1}\n']
    return b"".join(lines)


def pasted() -> bytes:
    """Records as the cards print them, between lines of JSON, with and without blank lines."""
    record, line = TRIAGE_TEXT.encode(), jsonl(a_fail(fail_id="J"))
    return b"\n\n".join([record] * 9) + b"\n\n" + line + (record + b"\n") * 5 + line * 3 + b"\n\n"


def marked() -> bytes:
    """Byte-order marks and record separators, also at the beginning of later lines."""
    line = jsonl(a_fail())
    return b"\xef\xbb\xbf" + line + (b"\x1e" + line) * 9 + b"\xef\xbb\xbfwords\n" * 9 + line


INPUTS = {
    "blotter": blotter(),
    "pasted": pasted(),
    "marked": marked(),
    "empty": b"",
    "no newline at the end": blotter(20).rstrip(b"\n"),
    "blank": b"\n\n\n",
}


def joined(path: Path, stack: ExitStack) -> JoinedSource:
    """The input as `finops run` opens it: deliveries get the receives of the file."""
    kb = load_kb(bundled_kb_dir())
    receives = ReceivesIndex(kb)
    stack.callback(receives.close)
    return JoinedSource(inner=JsonLines(path), inputs=InputPolicy(kb), receives=receives)


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("size", [SMALL, PartSize(1, 1), PartSize(10_000_000)])
def test_run_in_parts_gives_the_bytes_of_a_local_run(
    tmp_path: Path, name: str, size: PartSize
) -> None:
    """The output and every count of a run in parts are those of a run without parts."""
    given = tmp_path / "fails.jsonl"
    given.write_bytes(INPUTS[name])
    local = run_locally(JsonLines(given), tmp_path / "local.jsonl")
    parts = run_in_parts(JsonLines(given), tmp_path / "parts.jsonl", size=size)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    if name != "empty":
        assert parts.summary == local.summary


def test_lines_with_receives_are_copied_into_parts(tmp_path: Path) -> None:
    """Deliveries get the receives of the whole file, also of other parts: the input is copied."""
    given = tmp_path / "fails.jsonl"
    receive = a_fail(fail_id="R", side="Buy", cns_direction="FTR", cns_position=4000, qty=4000)
    given.write_bytes(blotter(20) + jsonl(receive) + blotter(20))
    with ExitStack() as stack:
        sources: list[InputSource] = [joined(given, stack) for _ in range(3)]
        assert PartSource(sources[2], SMALL).path is None
        local = run_locally(sources[0], tmp_path / "local.jsonl")
        parts = run_in_parts(sources[1], tmp_path / "parts.jsonl")
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert parts.summary.statuses == local.summary.statuses
    run_locally(JsonLines(given), tmp_path / "alone.jsonl")
    assert (tmp_path / "alone.jsonl").read_bytes() != (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.parametrize("kept", [None, 4, 30])
def test_lines_of_several_files_keep_their_places(tmp_path: Path, kept: int | None) -> None:
    """A part has lines of one file. Each line, and a repeated name, names the file as a local run
    does, also where the output has some lines already.
    """
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(blotter(20))
    (folder / "b.jsonl").write_bytes(b"")
    (folder / "c.jsonl").write_bytes(blotter(30).rstrip(b"\n"))
    given = open_several(folder)
    assert given is not None
    local = run_locally(given, tmp_path / "local.jsonl")
    expected = (tmp_path / "local.jsonl").read_bytes()
    assert b"c.jsonl line" in expected  # a name is repeated across the files
    output = tmp_path / "out.jsonl"
    if kept is not None:
        run_locally(given, output)
        output.write_bytes(b"".join(expected.splitlines(keepends=True)[:kept]))
    done = run_in_parts(given, output, resumes=kept is not None)
    assert output.read_bytes() == expected
    assert done.summary == local.summary


def test_parts_cover_every_byte_of_the_file(tmp_path: Path) -> None:
    """The parts of a file are consecutive, end at newlines, and cover all of it."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(blotter())
    parts = [cut.part for cut in PartSource(JsonLines(path), SMALL).cut()]
    assert len(parts) > 5
    assert [part.offset for part in parts[1:]] == [part.end_offset for part in parts[:-1]]
    assert [part.first for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert parts[-1].end_offset == path.stat().st_size
    assert all(path.read_bytes()[part.end_offset - 1] == ord("\n") for part in parts)


@pytest.mark.parametrize("content", [blotter(12), pasted(), marked()])
def test_split_part_has_the_lines_of_the_part(tmp_path: Path, content: bytes) -> None:
    """The pieces of a part have its lines, in order; a single record is not split."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(content)
    [cut] = PartSource(JsonLines(path), PartSize(10_000_000)).cut()
    pieces = [piece.part for piece in split_part(cut.part, path, 3)]
    assert len(pieces) > 1
    whole = list(open_part(cut.part, path))
    assert [line for piece in pieces for line, _ in open_part(piece, path)] == [
        line for line, _ in whole
    ]
    one = next(iter(PartSource(JsonLines(path), PartSize(1, 1)).cut()))
    assert split_part(one.part, path, 1) == []


def test_rows_that_give_no_record_stay_in_their_place(tmp_path: Path) -> None:
    """A copied part keeps a row that gave no record, beside lines with any bytes."""
    lines: list[bytes | Damage] = [b"{}", Damage("a.csv", 2, (), "F-2"), b"!x\r=", b"=\r", b""]
    source = tmp_path / "part.input"

    class Rows(JsonLines):
        def batches(self, skip: int, at_most: int) -> Batches:
            return Batches([(line, 1) for line in lines], skip, at_most)

    cuts = list(PartSource(Rows(None), PartSize(1_000, 2)).cut())
    assert [cut.part.lines for cut in cuts] == [2, 2, 1]
    found = []
    for cut in cuts:
        assert cut.copy is not None
        source.write_bytes(cut.copy)
        found += [line for line, _ in open_part(cut.part, source)]
        pieces = split_part(cut.part, source, 1)
        assert [piece.part.first for piece in pieces] == list(
            range(cut.part.first, cut.part.end) if pieces else []
        )
    assert found == lines


def test_changed_input_is_refused_by_the_worker(tmp_path: Path) -> None:
    """A worker answers only the bytes that the driver has cut."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(blotter())
    part = next(iter(PartSource(JsonLines(path), SMALL).cut())).part
    path.write_bytes(blotter().replace(b"4000", b"4001"))
    with pytest.raises(InputChanged, match="are not those that the run"):
        list(open_part(part, path))


def test_paths_of_a_request_mean_the_same_in_another_folder() -> None:
    """A worker has a folder of its own, so every path of the driver's request is absolute there."""
    request = BackendRequest(
        backend="openai",
        ggufs={"triage": Path("t.gguf")},
        folders={"triage": Path("folder")},
        adapters={"triage": Path("adapter")},
        api_key_file=Path("key"),
    )
    sent = absolute_request(request, "openai")
    paths = (sent.ggufs["triage"], sent.folders["triage"], sent.adapters["triage"])
    assert sent.api_key_file is not None
    assert all(path.is_absolute() for path in (*paths, sent.api_key_file))
