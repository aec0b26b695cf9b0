"""Each failure of the fake Ollama looks to a client as it does from a real one, over real
HTTP.
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


def answering(behaviour: Behaviour) -> FakeOllama:
    return FakeOllama(lambda request: behaviour)


def got(server: FakeOllama, **more: Any) -> tuple[list[str], Exception | None]:
    """The lines that a streaming client sees, and the error that ended them."""
    seen: list[str] = []
    try:
        with CLIENT.stream(
            "POST", f"{server.url}/api/generate", json=body(**more), timeout=SECONDS
        ) as response:
            seen.extend(response.iter_lines())
    except httpx.HTTPError as error:
        return seen, error
    return seen, None


def eventually(happened: Callable[[], bool]) -> bool:
    """Whether it happens within a bound that is no measurement."""
    end = time.monotonic() + SECONDS
    while not happened() and time.monotonic() < end:
        time.sleep(0.002)
    return happened()


def test_a_torn_stream_ends_in_a_protocol_error() -> None:
    """Three whole lines, then the connection closes within the chunked encoding."""
    with answering(Torn(after=3)) as server:
        seen, error = got(server)
    assert (len(seen), type(error)) == (3, httpx.RemoteProtocolError)


def test_a_torn_answer_without_a_stream_is_shorter_than_announced() -> None:
    with answering(Torn()) as server, pytest.raises(httpx.RemoteProtocolError):
        ask(server, stream=False)


@pytest.mark.parametrize(("after", "seen"), [(2, 2), (None, None)])
def test_no_done_ends_the_stream_properly(after: int | None, seen: int | None) -> None:
    """200, no error of the protocol, no line that is done."""
    with answering(NoDone(after)) as server:
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
def test_refusals_have_ollamas_status_and_words(
    behaviour: Behaviour, status: int, message: str
) -> None:
    """{"error": ...}, whether a stream was asked for or not."""
    with answering(behaviour) as server:
        for stream in (True, False):
            response = ask(server, stream=stream)
            assert response.status_code == status
            assert message in response.json()["error"]


def test_too_long_passes_on_the_json_of_llama_server() -> None:
    """The text of the error is itself JSON, with a type."""
    with answering(TooLong()) as server:
        inner = json.loads(ask(server).json()["error"])
    assert (inner["error"]["type"], inner["error"]["n_ctx"]) == ("exceed_context_size_error", 5120)


def test_an_error_in_the_stream_is_its_last_line() -> None:
    """Status 200, three lines, then {"error": ...} and a proper end."""
    with answering(ErrorLine(after=3)) as server:
        response = ask(server)
        assert ask(server, stream=False).status_code == 500
    assert response.status_code == 200
    assert ([set(line) for line in lines(response)][3:], len(lines(response))) == ([{"error"}], 4)


def test_a_dead_runner_is_loaded_again() -> None:
    """After a crash the next request loads the model."""
    with FakeOllama(lambda request: Crash() if request.number == 1 else CorrectAnswer()) as server:
        assert [ask(server).status_code for _ in range(2)] == [500, 200]
        assert server.loads == ["finops-triage"] * 2


def test_half_the_prompt_count_with_an_answer_that_looks_right() -> None:
    with answering(HalfPromptCount()) as server, FakeOllama() as honest:
        half, whole = ask(server), ask(honest)
    assert response_text(half) == response_text(whole)
    assert lines(half)[-1]["prompt_eval_count"] == count(TRIAGE) // 2


@pytest.mark.parametrize("after", [0, 2])
def test_a_hanging_server_is_left_by_the_client(after: int) -> None:
    """The client's own timeout ends it; the fake Ollama counts the generation as cancelled and its
    slot is free again.
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
        assert eventually(lambda: server.cancelled == 1)
        assert len(seen) == after
        assert ask(server).status_code == 200


def test_closing_the_connection_cancels_a_running_generation() -> None:
    """Noticed between chunks, and counted once; an answer that was read to its end is not
    counted.
    """
    with answering(Drip(0.01, endless=True)) as server:
        with CLIENT.stream(
            "POST", f"{server.url}/api/generate", json=body(), timeout=SECONDS
        ) as response:
            next(response.iter_lines())
        assert eventually(lambda: server.cancelled == 1)
    with FakeOllama() as server:
        ask(server)
    assert server.cancelled == 0


def test_a_client_that_waits_in_the_queue_may_leave_it() -> None:
    """It counts as cancelled, and whoever waits behind it gets the slot."""
    release = threading.Event()

    @dataclass(frozen=True)
    class Held(Behaviour):
        def respond(self, response: Any) -> None:
            release.wait(SECONDS)
            response.send_text("ok")

    with (
        FakeOllama(lambda request: Held() if request.number == 1 else CorrectAnswer()) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(ask, server)
        assert eventually(lambda: server.most_at_once == {"finops-triage": 1})
        with pytest.raises(httpx.ReadTimeout):
            CLIENT.post(f"{server.url}/api/generate", json=body(), timeout=0.2)
        assert eventually(lambda: server.cancelled == 1)
        third = pool.submit(ask, server)
        release.set()
        assert [first.result(SECONDS).status_code, third.result(SECONDS).status_code] == [200, 200]


def test_a_full_queue_is_503() -> None:
    """With `max_queue=0` a request that would have to wait is refused."""
    with FakeOllama(lambda request: Hang(), max_queue=0) as server, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(got, server)
        assert eventually(lambda: server.most_at_once == {"finops-triage": 1})
        refused = ask(server)
        server.stop()
        hanging.result(SECONDS)
    assert refused.status_code == 503


def test_an_endless_answer_drips_blanks() -> None:
    """The text comes whole, then blanks for as long as the client listens."""
    with answering(Drip(0.0, endless=True)) as server, FakeOllama() as honest:
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


def test_a_garbled_line_is_not_json_and_the_rest_is() -> None:
    with answering(Garbled(after=2)) as server:
        texts = ask(server).text.splitlines()
        whole = ask(server, stream=False).text
    assert [json.loads(texts[place])["done"] for place in (0, 1, 3)] == [False, False, True]
    for text in (texts[2], whole):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_a_cut_answer_says_length_and_a_loaded_model_says_load() -> None:
    """Both are 200 and done, and neither holds an answer."""
    with answering(Length()) as cut, answering(Loaded()) as loaded:
        first, second = ask(cut), ask(loaded)
    assert lines(first)[-1]["done_reason"] == "length"
    assert response_text(first)
    assert not response_text(first).endswith("}")
    assert (lines(second)[-1]["done_reason"], response_text(second)) == ("load", "")


def test_a_refused_connection_gives_no_answer_at_all() -> None:
    with (
        answering(Refused()) as server,
        pytest.raises(httpx.RemoteProtocolError, match="without sending a response"),
    ):
        ask(server)


def test_any_status_and_body_can_be_sent() -> None:
    """A proxy's page, for one."""
    with answering(WrongStatus(502, "<h1>Bad Gateway</h1>")) as server:
        response = ask(server)
    assert (response.status_code, response.text) == (502, "<h1>Bad Gateway</h1>")


def test_a_server_that_falls_over_comes_back_on_the_same_port() -> None:
    """`stop` ends running streams and refuses connections; `start` listens again; no cancelling is
    counted.
    """
    with FakeOllama(
        lambda request: Hang(after=1) if request.number == 1 else CorrectAnswer()
    ) as server:
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(got, server)
            assert eventually(lambda: len(server.received) == 1)
            url = server.url
            server.stop()
            assert isinstance(hanging.result(SECONDS)[1], httpx.RemoteProtocolError)
        with pytest.raises(httpx.ConnectError):
            ask(server)
        server.start()
        assert (server.url, ask(server).status_code, server.cancelled) == (url, 200, 0)


def test_a_script_that_raises_fails_the_test_that_uses_it() -> None:
    """Its exception comes out of the `with` statement."""

    def script(request: ReceivedRequest) -> Behaviour:
        raise LookupError(request.model)

    with (
        pytest.raises(LookupError, match="finops-triage"),
        FakeOllama(script) as server,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        ask(server)


def test_say_says_it_as_it_is() -> None:
    with answering(FixedText("Sure! Here is the JSON.")) as server:
        assert response_text(ask(server, format="json")) == "Sure! Here is the JSON."
