"""Failures of the fake Ollama server: a client sees them over HTTP as it would see those of a real
server.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from finops_cli.devtools.fake_ollama import (
    BadRequest,
    Behaviour,
    Busy,
    CorrectAnswer,
    Crash,
    Drip,
    ErrorLine,
    FakeOllama,
    FixedText,
    Garbled,
    HalfPromptCount,
    Hang,
    Length,
    Loaded,
    NoDone,
    NotFound,
    ReceivedRequest,
    Refused,
    TooLong,
    Torn,
    WrongStatus,
)
from finops_cli.devtools.fake_ollama.tokens import count
from tests.ollama.test_fake_ollama import CLIENT, TRIAGE, ask, body, lines, response_text

SECONDS = 10


def serve_behaviour(behaviour: Behaviour) -> FakeOllama:
    return FakeOllama(lambda request: behaviour)


def read_stream(server: FakeOllama, **more: Any) -> tuple[list[str], Exception | None]:
    """Return the lines that a streaming client gets, and the error that ended them."""
    seen: list[str] = []
    try:
        with CLIENT.stream(
            "POST", f"{server.url}/api/generate", json=body(**more), timeout=SECONDS
        ) as response:
            seen.extend(response.iter_lines())
    except httpx.HTTPError as error:
        return seen, error
    return seen, None


def wait_until(happened: Callable[[], bool]) -> bool:
    """Return whether `happened` becomes true within a generous time limit."""
    end = time.monotonic() + SECONDS
    while not happened() and time.monotonic() < end:
        time.sleep(0.002)
    return happened()


def test_fake_ollama_torn_stream_is_a_protocol_error() -> None:
    """A torn stream gives three whole lines and then a protocol error."""
    with serve_behaviour(Torn(after=3)) as server:
        seen, error = read_stream(server)
    assert (len(seen), type(error)) == (3, httpx.RemoteProtocolError)


def test_fake_ollama_torn_answer_is_shorter_than_announced() -> None:
    """A torn answer without a stream is shorter than its length header, so the client raises a
    protocol error.
    """
    with serve_behaviour(Torn()) as server, pytest.raises(httpx.RemoteProtocolError):
        ask(server, stream=False)


@pytest.mark.parametrize(("after", "seen"), [(2, 2), (None, None)])
def test_fake_ollama_no_done_ends_the_stream_without_error(
    after: int | None, seen: int | None
) -> None:
    """A stream without a final line has status 200, no protocol error and no line with `done`."""
    with serve_behaviour(NoDone(after)) as server:
        response = ask(server)
        assert ask(server, stream=False).json()["done"] is False
    assert response.status_code == 200
    assert [line for line in lines(response) if line["done"]] == []
    assert seen is None or len(lines(response)) == seen


@pytest.mark.parametrize(
    ("behaviour", "status", "message"),
    [
        (Busy(), 503, "server busy, please try again.  maximum pending requests exceeded"),
        (
            Crash(),
            500,
            "model runner has unexpectedly stopped, this may be due to resource limitations",
        ),
        (
            TooLong(),
            400,
            f"request ({count(TRIAGE)} tokens) exceeds the available context size (5120 tokens)",
        ),
        (NotFound(), 404, "model 'finops-triage' not found"),
        (BadRequest("no"), 400, "no"),
        (ErrorLine(after=0), 500, "an error was encountered while running the model"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Behaviour) else "",
)
def test_fake_ollama_refusals_have_ollamas_status_and_message(
    behaviour: Behaviour, status: int, message: str
) -> None:
    """A refusal has Ollama's status and error message, with and without a stream."""
    with serve_behaviour(behaviour) as server:
        for stream in (True, False):
            response = ask(server, stream=stream)
            assert response.status_code == status
            assert message in response.json()["error"]


def test_fake_ollama_too_long_prompt_has_a_json_error() -> None:
    """The error for a too long prompt contains the JSON of llama-server with its type and context
    size.
    """
    with serve_behaviour(TooLong()) as server:
        inner = json.loads(ask(server).json()["error"])
    assert (inner["error"]["type"], inner["error"]["n_ctx"]) == ("exceed_context_size_error", 5120)


def test_fake_ollama_error_in_a_stream_is_the_last_line() -> None:
    """An error in a stream has status 200, three lines and then the error as the last line."""
    with serve_behaviour(ErrorLine(after=3)) as server:
        response = ask(server)
        assert ask(server, stream=False).status_code == 500
    assert response.status_code == 200
    assert ([set(line) for line in lines(response)][3:], len(lines(response))) == ([{"error"}], 4)


def test_fake_ollama_loads_a_crashed_model_again() -> None:
    """After a crash the next request loads the model again."""
    with FakeOllama(lambda request: Crash() if request.number == 1 else CorrectAnswer()) as server:
        assert [ask(server).status_code for _ in range(2)] == [500, 200]
        assert server.loads == ["finops-triage"] * 2


def test_fake_ollama_half_prompt_count_has_a_correct_answer() -> None:
    """`HalfPromptCount` gives the correct text with half the prompt count, as a truncated prompt
    would have.
    """
    with serve_behaviour(HalfPromptCount()) as server, FakeOllama() as honest:
        half, whole = ask(server), ask(honest)
    assert response_text(half) == response_text(whole)
    assert lines(half)[-1]["prompt_eval_count"] == count(TRIAGE) // 2


@pytest.mark.parametrize("after", [0, 2])
def test_fake_ollama_hang_ends_by_the_clients_timeout(after: int) -> None:
    """A hanging answer ends by the client's timeout. The server counts it as cancelled and frees
    its slot.
    """
    with FakeOllama(
        lambda request: Hang(after) if request.number == 1 else CorrectAnswer()
    ) as server:
        seen: list[str] = []
        with (
            pytest.raises(httpx.ReadTimeout),
            CLIENT.stream(
                "POST", f"{server.url}/api/generate", json=body(), timeout=0.3
            ) as response,
        ):
            seen.extend(response.iter_lines())
        assert wait_until(lambda: server.cancelled == 1)
        assert len(seen) == after
        assert ask(server).status_code == 200


def test_fake_ollama_counts_a_closed_connection_as_cancelled() -> None:
    """Closing the connection cancels a running generation once. An answer that was read to its end
    is not cancelled.
    """
    with serve_behaviour(Drip(0.01, endless=True)) as server:
        with CLIENT.stream(
            "POST", f"{server.url}/api/generate", json=body(), timeout=SECONDS
        ) as response:
            next(response.iter_lines())
        assert wait_until(lambda: server.cancelled == 1)
    with FakeOllama() as server:
        ask(server)
    assert server.cancelled == 0


def test_fake_ollama_client_may_leave_the_queue() -> None:
    """A client that leaves the queue counts as cancelled, and the next one gets the slot."""
    release = threading.Event()

    @dataclass(frozen=True)
    class WaitForRelease(Behaviour):
        def respond(self, response: Any) -> None:
            release.wait(SECONDS)
            response.send_text("ok")

    with (
        FakeOllama(
            lambda request: WaitForRelease() if request.number == 1 else CorrectAnswer()
        ) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(ask, server)
        assert wait_until(lambda: server.most_at_once == {"finops-triage": 1})
        with pytest.raises(httpx.ReadTimeout):
            CLIENT.post(f"{server.url}/api/generate", json=body(), timeout=0.2)
        assert wait_until(lambda: server.cancelled == 1)
        third = pool.submit(ask, server)
        release.set()
        assert [first.result(SECONDS).status_code, third.result(SECONDS).status_code] == [200, 200]


def test_fake_ollama_full_queue_is_503() -> None:
    """With `max_queue=0` a request that would have to wait is answered with 503."""
    with FakeOllama(lambda request: Hang(), max_queue=0) as server, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(read_stream, server)
        assert wait_until(lambda: server.most_at_once == {"finops-triage": 1})
        refused = ask(server)
        server.stop()
        hanging.result(SECONDS)
    assert refused.status_code == 503


def test_fake_ollama_endless_answer_continues_with_blanks() -> None:
    """An endless answer is the whole text and then blanks for as long as the client reads."""
    with serve_behaviour(Drip(0.0, endless=True)) as server, FakeOllama() as honest:
        right = response_text(ask(honest))
        with CLIENT.stream(
            "POST", f"{server.url}/api/generate", json=body(), timeout=SECONDS
        ) as response:
            text = ""
            for line in response.iter_lines():
                text += json.loads(line)["response"]
                if len(text) > len(right) + 50:
                    break
    assert text.rstrip() == right


def test_fake_ollama_garbled_line_is_the_only_invalid_json() -> None:
    """A garbled stream has one line that is not JSON, and the other lines are valid."""
    with serve_behaviour(Garbled(after=2)) as server:
        texts = ask(server).text.splitlines()
        whole = ask(server, stream=False).text
    assert [json.loads(texts[place])["done"] for place in (0, 1, 3)] == [False, False, True]
    for text in (texts[2], whole):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_fake_ollama_length_and_load_have_no_full_answer() -> None:
    """`Length` ends in the middle of the JSON with the reason `length`. `Loaded` has no text and
    the reason `load`.
    """
    with serve_behaviour(Length()) as cut, serve_behaviour(Loaded()) as loaded:
        first, second = ask(cut), ask(loaded)
    assert lines(first)[-1]["done_reason"] == "length"
    assert response_text(first)
    assert not response_text(first).endswith("}")
    assert (lines(second)[-1]["done_reason"], response_text(second)) == ("load", "")


def test_fake_ollama_refused_connection_sends_no_response() -> None:
    """`Refused` closes the connection without a response."""
    with (
        serve_behaviour(Refused()) as server,
        pytest.raises(httpx.RemoteProtocolError, match="without sending a response"),
    ):
        ask(server)


def test_fake_ollama_sends_any_status_and_body() -> None:
    """`WrongStatus` sends the given status and body, for example the error page of a proxy."""
    with serve_behaviour(WrongStatus(502, "<h1>Bad Gateway</h1>")) as server:
        response = ask(server)
    assert (response.status_code, response.text) == (502, "<h1>Bad Gateway</h1>")


def test_fake_ollama_restarts_on_the_same_port() -> None:
    """`stop` ends running streams and refuses connections, and `start` listens on the same port
    again.
    """
    with FakeOllama(
        lambda request: Hang(after=1) if request.number == 1 else CorrectAnswer()
    ) as server:
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(read_stream, server)
            assert wait_until(lambda: len(server.received) == 1)
            url = server.url
            server.stop()
            assert isinstance(hanging.result(SECONDS)[1], httpx.RemoteProtocolError)
        with pytest.raises(httpx.ConnectError):
            ask(server)
        server.start()
        assert (server.url, ask(server).status_code, server.cancelled) == (url, 200, 0)


def test_fake_ollama_script_error_reaches_the_test() -> None:
    """An exception of the script is raised where the `with` statement of the server ends."""

    def script(request: ReceivedRequest) -> Behaviour:
        raise LookupError(request.model)

    with (
        pytest.raises(LookupError, match="finops-triage"),
        FakeOllama(script) as server,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        ask(server)


def test_fake_ollama_fixed_text_is_sent_unchanged() -> None:
    """`FixedText` sends its text unchanged, also when a format is requested."""
    with serve_behaviour(FixedText("Sure! Here is the JSON.")) as server:
        assert response_text(ask(server, format="json")) == "Sure! Here is the JSON."
