"""Streams of a server of OpenAI's API: how they are divided into events, and how far one without an
end is read.
"""

from __future__ import annotations

import codecs
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.ollama.generate import OllamaReader
from finops_cli.models.openai.api_key import ApiKey
from finops_cli.models.openai.send import send
from finops_cli.models.openai.stream import STREAM_BYTES, OpenAIReader
from finops_cli.models.servers.answers import Generated, Patience
from finops_cli.models.servers.exchange import AnswerReader, WholeLines
from finops_cli.models.servers.hosts import open_client
from finops_cli.models.servers.timeouts import TimedTransport
from tests.ollama.test_generate import HEAD, repeat_forever, serve_bytes

STOP = b'{"choices":[{"text":"b","finish_reason":"stop"}]}'
EVENTS = b'data: {"choices":[{"text":"a"}]}\n\ndata: ' + STOP + b"\n\ndata: [DONE]\n\n"
OBJECT = b'{\n  "choices": [\n    {"text": "ab", "finish_reason": "stop"}\n  ]\n}'
CUT_HEAD = HEAD.replace(b"Connection: close", b"Content-Length: 9999")
"""The head of an answer that promises more than comes."""


def read(pieces: Iterable[bytes], pause: float = 0.0, seconds: float = 20.0) -> Generated:
    """Return the answer of a server that sends `pieces`."""
    with (
        serve_bytes(pieces, pause) as url,
        open_client(url, transport=TimedTransport()) as client,
    ):
        within = Patience(1, seconds, seconds)
        return send(client, "/v1/completions", {"model": "m"}, within, ApiKey())


class Flood:
    """Sends `first`, and then `piece` for ever. `sent` counts the bytes, also those that wait in
    the sockets.
    """

    def __init__(self, first: bytes, piece: bytes) -> None:
        self.sent = 0
        self._first, self._piece = first, piece

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        while True:
            yield self._piece
            self.sent += len(self._piece)


def list_bytes(content: bytes) -> list[bytes]:
    return [content[place : place + 1] for place in range(len(content))]


@pytest.mark.slow
def test_text_of_an_answer_does_not_end_its_stream() -> None:
    """An answer whose text has the characters of the end of a stream may take its time."""
    events = [
        b'data: {"choices":[{"text":"data: [DONE]"}]}\n\n',
        b'data: {"choices":[{"text":" and more","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ]
    assert read([HEAD, *events], pause=1.5).text == "data: [DONE] and more"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_events_end_with_any_line_ending(end: bytes) -> None:
    """The lines of a stream end with a line feed, a carriage return, or both."""
    events = [b": hello", b'data: {"choices":[{"text":"a"}]}', b"event: x", b"data:" + STOP]
    stream = end.join([*events, b"data: [DONE]", b""])
    assert read([HEAD, stream]).text == "ab"
    assert read([HEAD, *list_bytes(stream)], pause=0.001).text == "ab"


@pytest.mark.parametrize("stream", [EVENTS, OBJECT])
def test_byte_order_mark_before_the_answer_is_ignored(stream: bytes) -> None:
    """One byte order mark may begin an answer; a second one is a part of the first line."""
    mark = codecs.BOM_UTF8
    assert read([HEAD, mark[:1], mark[1:] + stream]).text == "ab"
    with pytest.raises(failures.ConnectionLost):
        read([HEAD, 2 * mark + OBJECT])


def test_object_in_any_pieces_is_read() -> None:
    """An answer of one object may have several lines, and come byte by byte."""
    assert read([HEAD, OBJECT]).text == "ab"
    assert read([HEAD, *list_bytes(OBJECT)], pause=0.001).text == "ab"


def test_cut_object_is_a_lost_connection() -> None:
    """An object whose last line does not come is a lost connection, not an unreadable event."""
    with pytest.raises(failures.ConnectionLost, match="the connection broke"):
        read([CUT_HEAD, OBJECT[:-1]])


@pytest.mark.parametrize("end", [b"\n", b"\r"])
@pytest.mark.parametrize("cut", [0, 1, 20, len(STOP) - 1])
def test_cut_event_does_not_belong_to_the_text(cut: int, end: bytes) -> None:
    """A lost connection keeps the events that came whole, and no part of the last one."""
    whole = EVENTS.partition(STOP)[0].replace(b"\n", end)
    with pytest.raises(failures.ConnectionLost, match="the connection broke") as lost:
        read([CUT_HEAD, whole + STOP[:cut]])
    assert lost.value.received == "a"


def test_answer_is_valid_once_its_end_was_reported() -> None:
    """An answer with `finish_reason` is valid, whatever happens to the connection afterwards."""
    for after in (b"", b"data: {", b"data: <html>\n\n", b"data: [DONE]\n\ndata: <html>\n\n"):
        assert read([CUT_HEAD, EVENTS.partition(b"data: [DONE]")[0] + after]).text == "ab"


@pytest.mark.parametrize("line", [b"\n", b"data:\n", b"data: \r\n", b": ping\n\n"])
def test_empty_lines_take_less_memory_than_their_bytes(line: bytes) -> None:
    """A stream of empty lines and events takes less memory than its bytes."""
    received = line * (1_000_000 // len(line))
    with (
        serve_bytes([HEAD, received]) as url,
        open_client(url, transport=TimedTransport()) as client,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(failures.Incomplete):
                send(client, "/v1/completions", {"model": "m"}, Patience(1, 20, 20), ApiKey())
            assert tracemalloc.get_traced_memory()[1] < len(received) // 2
        finally:
            tracemalloc.stop()


def test_server_that_only_sends_comments_is_overdue() -> None:
    """Comments that keep a connection open are neither an answer nor a broken one."""
    with pytest.raises(failures.TimedOut):
        read(repeat_forever(HEAD, b": processing\n\n"), pause=0.02, seconds=0.3)


@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_answer_is_left_when_its_text_is_too_long(field: str) -> None:
    """The stream is read until its text is longer than any answer can be, and no further."""
    event = b'data: {"choices":[{"delta":{"%s":"%s"}}]}\n\n' % (field.encode(), b"a" * 1_000)
    flood = Flood(HEAD, 50 * event)
    with pytest.raises(failures.TooLong) as long:
        read(flood)
    assert len(long.value.received) == limits.REPLY_CHARS
    assert flood.sent < STREAM_BYTES // 2


@pytest.mark.parametrize("begin", [b'{"choices":[{"text":"', b"data: ", b"<p>\n"])
def test_line_without_an_end_is_left(begin: bytes) -> None:
    """An event, an object or a page without an end is read up to a limit."""
    flood = Flood(HEAD + begin, b"a" * 100_000 + b"\n" * begin.endswith(b"\n"))
    with pytest.raises(failures.TooLong):
        read(flood)
    assert flood.sent < STREAM_BYTES // 2


OLLAMA = b'{"response":"a"}\n\n{"response":"b","done":true,"done_reason":"stop"}\n'
TEXT = '{"choices":[{"text":"a\u20ac"}]}'.encode()


def read_parts(open_reader: Callable[[], AnswerReader], parts: list[bytes]) -> str:
    """Return the text, or the rule and the text of the failure, that a reader makes of parts."""
    reader = open_reader()
    lines = WholeLines(reader.line_ends)
    try:
        for part in parts:
            if whole := lines.take(part):
                reader.add(whole)
        reader.add(bytes(lines.rest))
        return reader.finish().text
    except failures.ModelError as failure:
        return f"{failure.rule} {failure.received}"


@pytest.mark.parametrize(
    ("open_reader", "stream"),
    [
        (OpenAIReader, EVENTS),
        (OpenAIReader, EVENTS.replace(b"\n", b"\r")),
        (OpenAIReader, codecs.BOM_UTF8 + EVENTS.replace(b"\n", b"\r\n")),
        (OpenAIReader, b"data: " + TEXT + b"\n\n: x\n" + EVENTS),
        (OpenAIReader, EVENTS.replace(b"data: [DONE]", b"data: <html>")),
        (OpenAIReader, b"data: " + TEXT + b"\ndata: {\n" + EVENTS),
        (OpenAIReader, OBJECT),
        (OllamaReader, OLLAMA),
        (OllamaReader, OLLAMA.replace(b"\n", b"\r\n") + b"<html>"),
        (OllamaReader, codecs.BOM_UTF8 + OLLAMA.replace(b"\n", b"\r")),
        (OllamaReader, b'{"response":\r"a"}\n' + OLLAMA),
        (OllamaReader, b'{"response":"a"}\n<html>\n' + OLLAMA),
    ],
)
@given(data=st.data())
def test_parts_of_a_stream_do_not_count(
    open_reader: Callable[[], AnswerReader], stream: bytes, data: st.DataObject
) -> None:
    """A stream that comes in any parts gives what it gives as a whole."""
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[a:b] for a, b in pairwise([0, *places, len(stream)])]
    assert read_parts(open_reader, parts) == read_parts(open_reader, [stream])


def test_reader_is_over_after_an_unreadable_event() -> None:
    """Behind a complete answer, an event that cannot be read ends the stream, and before it is a
    failure.
    """
    reader = OpenAIReader()
    is_over = []
    for line in (b"data: " + STOP, b"data: <html>"):
        reader.add(line + b"\n\n")
        is_over.append(reader.is_over)
    assert is_over == [False, True]
    with pytest.raises(failures.ConnectionLost):
        OpenAIReader().add(b"data: <html>\n\n")
