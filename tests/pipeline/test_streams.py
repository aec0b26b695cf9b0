"""A stream is answered line by line as it comes; plentiful input is read in full batches."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Timer
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import limits
from finops_cli.files.jsonl import BATCH_LINES, Batches, lines_of
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.pipeline.earlier_lines import EarlierLines
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import BatchResult, LocalExecutor, PipelineConfig, compare_each
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl
from tests.support.streams import LONGEST_WAIT_SECONDS, talk_to
from tests.support.text_models import ScriptedModel, correct_answer

SLOW = pytest.mark.slow
"""Each case starts a process: the main one is tested everywhere, all of them by CI."""
RUN = ("run", "-", "--backend", "engine", "-q")


def name(number: int) -> str:
    return f"F-{number}"


@pytest.mark.parametrize(
    ("command", "last_number"),
    [
        (RUN, 3),
        pytest.param((*RUN, "--workers", "2"), 3, marks=SLOW),
        pytest.param(("triage", "-", "--backend", "engine", "-q"), 3, marks=SLOW),
        pytest.param(("clock", "-", "--as-of", "2026-11-30", "-q"), 3, marks=SLOW),
    ],
)
def test_each_line_is_answered_before_the_next(command: tuple[str, ...], last_number: int) -> None:
    """Rule: the answer to a line is written and flushed while the next line is waited for."""
    with talk_to(*command) as program:
        for number in range(1, last_number):
            program.send(jsonl(a_fail(fail_id=name(number))))
            assert program.receive()["fail_id"] == name(number)
        program.send(jsonl(a_fail(fail_id=name(last_number))).rstrip(b"\n"))
        status, rest = program.end()
    assert status in (0, 1)
    assert rest.count(b"\n") == 1  # a last line without a newline is answered at the end


@SLOW
@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("resolve", "-", "--backend", "engine", "-q"), EXAMPLES / "cards/cases.jsonl"),
        (("check", "-", "-q"), EXAMPLES / "monday.expected.jsonl"),
        (
            ("check", "-", "--fails", EXAMPLES / "monday.jsonl", "-q"),
            EXAMPLES / "monday.expected.jsonl",
        ),
    ],
)
def test_cases_and_outputs_are_answered_at_once(command: tuple[object, ...], file: Path) -> None:
    """Rule: resolve and check answer each line of a stream too before they wait for the next."""
    lines = file.read_bytes().splitlines(keepends=True)
    with talk_to(*command) as program:
        for line in lines[:2]:
            program.send(line)
            assert program.receive()


@contextmanager
def a_pipe() -> Iterator[tuple[BinaryIO, BinaryIO, Event]]:
    """A pipe: its reading end, its writing end, and an event that says that the wait was too long.

    A reader that waits for ever gets the end of the input after LONGEST_WAIT_SECONDS.
    """
    reading, writing = os.pipe()
    too_long = Event()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:

        def give_up() -> None:
            too_long.set()
            writer.close()

        watchdog = Timer(LONGEST_WAIT_SECONDS, give_up)
        watchdog.start()
        try:
            yield reader, writer, too_long
        finally:
            watchdog.cancel()


class SlowModels(ScriptedModel):
    """Two models; the answer to F-held waits until F-second is asked about."""

    def __init__(self, kb: KnowledgeBase, must_alternate: bool = False) -> None:
        second_came = Event()

        def reply(request: Any, _: int) -> str:
            if "F-held" in request.prompt:
                second_came.wait(LONGEST_WAIT_SECONDS)
            if "F-second" in request.prompt:
                second_came.set()
            return correct_answer(request, kb)

        super().__init__(reply)
        self.must_alternate = must_alternate


def process(source: BinaryIO, model: ScriptedModel, kb: KnowledgeBase) -> Iterator[BatchResult]:
    pipeline = Pipeline(SEQUENCES["run"], VerifiedBackend(model, kb, "repair"), kb, timed=False)
    config = PipelineConfig(sequence=SEQUENCES["run"], kb_dir=bundled_kb_dir(), timed=False)
    with EarlierLines() as earlier:
        batches = Batches(lines_of(source), 0, 1)
        results = LocalExecutor(pipeline, config, 1, batches).results(0)
        yield from compare_each(results, pipeline, earlier)


@pytest.mark.parametrize("must_alternate", [False, True])
def test_models_answer_each_line_of_a_stream_at_once(
    must_alternate: bool, kb: KnowledgeBase
) -> None:
    """Rule: a record that language models answer is not held back, also where models alternate."""
    with a_pipe() as (reader, writer, too_long):
        results = process(reader, SlowModels(kb, must_alternate), kb)
        for number in range(1, 4):
            writer.write(jsonl(a_fail(fail_id=name(number))))
            assert next(results).names == [(name(number), number)]
        writer.close()
        assert list(results) == []
        assert not too_long.is_set()


def test_models_take_new_lines_while_one_is_answered(kb: KnowledgeBase) -> None:
    """Rule: a line that comes while an earlier one is in work goes to a free model at once."""
    with a_pipe() as (reader, writer, too_long):
        writer.write(jsonl(a_fail(fail_id="F-held")))
        Timer(0.2, writer.write, [jsonl(a_fail(fail_id="F-second"))]).start()
        results = process(reader, SlowModels(kb), kb)
        assert [next(results).names[0][0] for _ in range(2)] == ["F-held", "F-second"]
        assert not too_long.is_set()
        writer.close()


def test_plentiful_pipe_is_read_in_full_batches(tmp_path: Path) -> None:
    """Rule: a batch ends early only where no further line is there: a full pipe gives full ones."""
    reading, writing = os.pipe()
    line = b"{}\n"
    count = 3 * BATCH_LINES + 5
    os.write(writing, line * count)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        sizes = [len(batch.lines) for batch in Batches(lines_of(source))]
    assert sizes == [BATCH_LINES] * 3 + [5]
    file = tmp_path / "m.jsonl"
    file.write_bytes(line * count)
    with file.open("rb") as source:
        assert [len(batch.lines) for batch in Batches(lines_of(source))] == sizes


def test_batches_of_a_stream_end_where_it_pauses() -> None:
    """Rule: whole lines are answered; the beginning of a line waits for its end."""
    with a_pipe() as (reader, writer, _):
        batches = Batches(lines_of(reader))
        writer.write(b"1\n2\n3")
        assert next(batches)[:3] == (1, [b"1", b"2"], 4)
        assert not batches.has_next_now()
        writer.write(b"3\n")
        assert next(batches)[:3] == (3, [b"33"], 7)
        writer.close()
        assert batches.has_next_now()
        assert list(batches) == []


class Pieces(io.RawIOBase):
    """A stream that gives its bytes in pieces of given lengths, then in one."""

    def __init__(self, data: bytes, lengths: list[int]) -> None:
        self._data, self._lengths = data, [*lengths]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        length = min(self._lengths.pop(0) if self._lengths else len(buffer), len(buffer))
        piece, self._data = self._data[:length], self._data[length:]
        buffer[: len(piece)] = piece
        return len(piece)


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b"{", b" ", b"\x1e", codecs.BOM_UTF8, b"x\ny"])),
    st.lists(st.integers(1, 9)),
)
def test_lines_do_not_depend_on_how_the_bytes_come(data: list[bytes], cuts: list[int]) -> None:
    """Rule: any pieces give the same lines, marks and lengths, and the lengths add up."""
    text = b"".join(data)
    whole = lines_of(io.BytesIO(text))
    pieces = lines_of(io.BufferedReader(Pieces(text, cuts)))
    found = list(whole)
    assert list(pieces) == found
    assert (pieces.dropped, pieces.blank) == (whole.dropped, whole.blank)
    assert sum(consumed for _, consumed in found) == len(text)
    assert len(found) == text.count(b"\n") + (not text.endswith(b"\n") and bool(text))


BOM, OBJECT = codecs.BOM_UTF8, b'{"a": 1}'


@pytest.mark.parametrize(
    ("given_line", "line", "dropped"),
    [
        (OBJECT, OBJECT, {}),
        (b"\x1e" + OBJECT, OBJECT, {"record separators": 1}),
        (b"\x1e\x1e" + OBJECT, OBJECT, {"record separators": 2}),
        (BOM + OBJECT, OBJECT, {"byte-order marks": 1}),
        (BOM + b"\x1e" + OBJECT, OBJECT, {"record separators": 1, "byte-order marks": 1}),
        (b"\x1e " + OBJECT, b" " + OBJECT, {"record separators": 1}),
        (b"\x1e[1]", b"\x1e[1]", {}),
        (b"\x1eSymbol|Name", b"\x1eSymbol|Name", {}),
        (b" " + OBJECT, b" " + OBJECT, {}),
        (b"\x1e", b"", {}),
        (b"", b"", {}),
        (b" \t\r", b" \t\r", {}),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_marks_before_an_object_are_dropped_and_counted(
    given_line: bytes, line: bytes, dropped: dict[str, int], place: int
) -> None:
    """Rule: separators and byte-order marks before an object are dropped and counted anywhere in a
    file; before anything else they stay.
    """
    given_lines = [given_line] if place == 0 else [b"7", given_line]
    lines = lines_of(io.BytesIO(b"\n".join([*given_lines, b"8"])))
    assert [found for found, _ in lines][place] == line
    assert lines.dropped == dropped
    assert lines.blank == (not line.strip())


def test_mark_of_a_whole_text_is_dropped() -> None:
    """Rule: the byte-order mark at the beginning of any text is dropped, and not counted."""
    lines = lines_of(io.BytesIO(BOM + b"Symbol|Name\n" + BOM + b"A|B\n"))
    assert [line for line, _ in lines] == [b"Symbol|Name", BOM + b"A|B"]
    assert lines.dropped == {}


def test_line_over_the_limit_is_cut_after_it() -> None:
    """Rule: a longer line costs no more memory than the limit, and the next line is whole."""
    long = b"x" * (limits.LINE_BYTES + 100_000)
    lines = lines_of(io.BufferedReader(Pieces(long + b"\nshort\n", [])))
    (cut, consumed), short = lines
    assert (consumed, short) == (len(long) + 1, (b"short", 6))
    assert limits.LINE_BYTES < len(cut) < limits.LINE_BYTES + 100


def test_summary_counts_the_marks_that_were_dropped(finops: Finops) -> None:
    """Rule: run, clock and check say on stderr how many marks they dropped; CRLF ends a line."""
    records = [jsonl(a_fail(fail_id=name(number))).strip() for number in (1, 2, 3)]
    stdin = BOM + records[0] + b"\r\n\x1e" + records[1] + b"\r\n\x1e" + records[2] + b"\r\n"
    row = b"dropped      record separators 2  byte-order marks 1\n"
    done = finops("run", "-", "--backend", "engine", stdin=stdin)
    assert (done.returncode, done.stdout.count(b"\n"), row in done.stderr) == (0, 3, True)
    assert row in finops("clock", "-", "--as-of", "2026-11-30", stdin=stdin).stderr
    assert row in finops("check", "-", stdin=stdin).stderr


def test_blank_lines_are_rejected_also_at_the_end(finops: Finops) -> None:
    """Rule: lines in = lines out: a blank line is a rejected line, wherever it stands."""
    stdin = jsonl(a_fail()) + b"\n" + jsonl(a_fail(fail_id="F-2")) + b"\r\n \n\n"
    done = finops("run", "-", "--backend", "engine", "-q", stdin=stdin)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert [b'"rejected"' in line for line in lines] == [False, True, False, True, True, True]
    assert all(b"is empty" in line for line in lines if b'"rejected"' in line)


MINIMUM = [
    (2, 2, 0),  # records, --min-records, status
    (2, 3, 2),
    (0, 1, 2),
    (0, 0, 0),
]


@pytest.mark.parametrize(("records", "least", "status"), MINIMUM)
def test_run_with_too_few_records_ends_with_2(
    records: int, least: int, status: int, tmp_path: Path, finops: Finops
) -> None:
    """Rule: fewer records than --min-records end with 2 and say how many came; answers stay."""
    stdin = b"".join(jsonl(a_fail(fail_id=name(number))) for number in range(records))
    output = tmp_path / "out.jsonl"
    least_given = ("--min-records", least)
    done = finops("run", "-", "--backend", "engine", *least_given, "-o", output, stdin=stdin)
    assert (done.returncode, output.read_bytes().count(b"\n")) == (status, records)
    message = f"finops: {records} records came. Expected at least {least}; what came is in {output}"
    assert (message in done.stderr.decode()) == (status == 2)


def test_blank_lines_are_no_records_for_the_minimum(finops: Finops) -> None:
    """Rule: a blank line is answered, and it does not count as a record that came."""
    run = ("run", "-", "--backend", "engine", "-q", "--min-records", "1")
    done = finops(*run, stdin=b"\n \r\n")
    assert (done.returncode, done.stdout.count(b"\n")) == (2, 2)
    assert b"finops: 0 records came. Expected at least 1.\nfix: " in done.stderr
    assert finops(*run, stdin=b"not a record\n").returncode == 1


def test_import_with_too_few_records_ends_with_2(finops: Finops) -> None:
    """Rule: import has --min-records too, and writes the records that came."""
    call = ("import", "csv", EXAMPLES / "csv/blotter.csv", "--map", EXAMPLES / "csv/mapping.yaml")
    whole = finops(*call)
    done = finops(*call, "--min-records", 1000)
    assert (done.returncode, done.stdout) == (2, whole.stdout)
    assert b"records came. Expected at least 1,000.\nfix: " in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_line_of_utf_16_says_what_to_do(encoding: str) -> None:
    """Rule: a rejected line that is UTF-16 names the encoding and the cure."""
    line = jsonl(a_fail()).strip().decode().encode(encoding)
    problems = parse_fail_line(line).problems
    assert "the line is UTF-16; save the file as UTF-8: `iconv" in problems[0].message
