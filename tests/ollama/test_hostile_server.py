"""A hostile Ollama server: responses that are too deep, too long, too large, too slow or of the
wrong type.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pytest

from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.models.ollama import api, uploads
from finops_cli.models.servers.bounded import ANSWER_BYTES
from tests.support.canned_server import CannedServer
from tests.support.program import Finops

DEEP = b"[" * 100_000
LONG = b'{"version":' + b"9" * 5_000 + b"}"
NO_TEXT = b'{"version":"\xff\xfe"}'
HUGE = 10**400
TAG: dict[str, object] = {"model": "m:latest", "size": 4, "digest": "d" * 64}
PLACES = {
    "GET /api/version": api.version,
    "GET /api/tags": api.list_installed,
    "GET /api/ps": api.list_loaded,
    "POST /api/show": lambda url: api.card(url, "m"),
}


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection, which sends what `answer` sends."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()
        thread.join()


@pytest.mark.parametrize("body", [DEEP, LONG, NO_TEXT], ids=["deep", "long", "no text"])
@pytest.mark.parametrize("place", PLACES)
def test_unreadable_json_is_reported_as_not_ollama(place: str, body: bytes) -> None:
    """A response whose JSON cannot be read raises MissingPiece that says the server is not
    Ollama.
    """
    with CannedServer({place: body}) as server, pytest.raises(MissingPiece, match="not Ollama"):
        PLACES[place](server.url)


@pytest.mark.parametrize(
    "body", [DEEP, LONG, NO_TEXT, b"[1]"], ids=["deep", "long", "no text", "a list"]
)
@pytest.mark.parametrize("place", list(PLACES)[1:])
def test_error_status_with_an_unreadable_body_is_reported(place: str, body: bytes) -> None:
    """An error status with an unreadable body or charset raises Unfinished with the status and a
    short message.
    """

    def refuse(connection: socket.socket) -> None:
        head = (
            "HTTP/1.1 500 Oh\r\nContent-Type: text/html; charset=base64\r\nContent-Length:"
            f" {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    with raw(refuse) as url, pytest.raises(Unfinished, match="answered 500") as caught:
        PLACES[place](url)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "line",
    [
        DEEP,
        b'{"status":"x","total":' + b"9" * 5_000 + b"}",
        b'{"status":"\xff"}',
        b"x" * (2 * 1024 * 1024),
    ],
)
def test_unreadable_create_step_is_a_torn_response(line: bytes) -> None:
    """A create step that cannot be read raises Unfinished as a torn response."""
    with (
        CannedServer({"POST /api/create": line + b"\n"}) as server,
        uploads.connect(server.url) as client,
        pytest.raises(Unfinished, match="invalid"),
    ):
        uploads.create_model(client, b"{}", lambda _: None)


def test_create_step_with_wild_values_is_cleaned() -> None:
    """Invalid counts of a create step become 0 or None, and control characters in its text are
    replaced.
    """
    lines = (
        b'{"status":"a\\ud800\\u001b","completed":"x","total":-1}\n{"status":"success","total":1e4'
        b"00}\n"
    )
    steps: list[uploads.Step] = []
    with CannedServer({"POST /api/create": lines}) as server, uploads.connect(server.url) as client:
        uploads.create_model(client, b"{}", steps.append)
    assert steps == [("a\ufffd\ufffd", 0, None), ("success", 0, None)]


def test_endless_error_of_create_is_read_up_to_a_limit() -> None:
    """An endless error body of a create request is read up to a limit and quoted."""

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with (
        raw(refuse) as url,
        api.translate_errors(url),
        uploads.connect(url) as client,
        pytest.raises(Unfinished, match="answered 500: xxx"),
    ):
        uploads.create_model(client, b"{}", lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("show", "expected"),
    [
        ({"model_info": {"general.architecture": ["x"]}}, (None, None, None)),
        (
            {"model_info": {"general.architecture": 5}, "details": {"family": "qwen3"}},
            ("qwen3", None, None),
        ),
        (
            {"model_info": {"general.architecture": "a", "a.context_length": "many"}},
            ("a", None, None),
        ),
        ({"model_info": {"general.architecture": "a", "a.context_length": [1]}}, ("a", None, None)),
        (
            {"model_info": {"general.architecture": "a", "a.context_length": HUGE}},
            ("a", None, None),
        ),
        ({"model_info": {"general.architecture": "a", "a.context_length": 7}}, ("a", 7, None)),
        (
            {"model_info": 1, "details": {"family": "\ud800", "quantization_level": "\udfffq\n"}},
            ("\ufffd", None, "\ufffdq\ufffd"),
        ),
        (
            {
                "model_info": [],
                "details": 2,
                "capabilities": {},
                "parameters": [],
                "remote_host": None,
            },
            (None, None, None),
        ),
        (
            {
                "model_info": {},
                "capabilities": [1, "x"],
                "parameters": f'seed {HUGE}\nstop [[\nstop "\\ud800"\nnum_gpu -1',
            },
            (None,) * 3,
        ),
    ],
)
def test_model_values_of_the_wrong_type_are_unknown(
    show: dict[str, Any], expected: tuple[object, ...], finops: Finops
) -> None:
    """Values of the wrong type in a model description become None, and the model can still be
    printed as table and JSON.
    """
    with CannedServer({"POST /api/show": show, "GET /api/tags": {"models": [TAG]}}) as server:
        card = api.card(server.url, "m")
        done = [finops("models", "--host", server.url, *more) for more in ((), ("--json",))]
    assert card is not None
    assert (card.architecture, card.context_length, card.quantization) == expected
    assert [(one.returncode, one.stderr) for one in done] == [(0, b"")] * 2
    json.dumps([card.parameters, card.capabilities], ensure_ascii=False).encode()


def test_models_with_wild_sizes_and_names_are_listed(finops: Finops) -> None:
    """Models with impossible sizes or names are listed without an error, and loaded models with
    impossible sizes have size 0.
    """
    wild = [{**TAG, "size": HUGE}, {**TAG, "model": None}, {**TAG, "model": "\ud800"}]
    ps: dict[str, object] = {
        "models": [
            {"model": "m", "size": HUGE, "size_vram": HUGE, "context_length": HUGE},
            {"model": None},
        ]
    }
    with CannedServer(
        {
            "GET /api/tags": {"models": wild},
            "GET /api/ps": ps,
            "GET /api/version": {"version": "\ud800"},
        }
    ) as server:
        assert [(model.name, model.size) for model in api.list_installed(server.url)] == [
            ("m", 0),
            ("\ufffd", 4),
        ]
        assert api.list_loaded(server.url) == [api.Loaded("m", 0, 0, None)]
        assert finops("models", "--host", server.url).returncode == 0
        assert finops("models", "--host", server.url, "--json").returncode == 0


@pytest.mark.parametrize("odd", ["1e999", '"large"', "null", "-1", "[]", "true", "9" * 400])
def test_model_list_with_an_odd_size_keeps_the_model(odd: str) -> None:
    """A size or a time of an odd type does not hide a model; the size counts as not reported."""
    entry = f'{{"model":"m","size":{odd},"size_vram":{odd},"expires_at":{odd}}}'
    body = f'{{"models":[{entry}]}}'.encode()
    with CannedServer({"GET /api/tags": body, "GET /api/ps": body}) as server:
        assert [(model.name, model.size) for model in api.list_installed(server.url)] == [("m", 0)]
        assert api.list_loaded(server.url) == [api.Loaded("m", 0, 0, None)]


@pytest.mark.slow
def test_list_of_a_million_models_is_refused_unparsed() -> None:
    """A list of a million entries is refused before pydantic validates it, which would take seconds
    and gigabytes.
    """
    many = b'{"models":[' + b"[]," * 1_000_000 + b"[]]}"
    with (
        CannedServer({"GET /api/tags": many}) as server,
        pytest.raises(MissingPiece, match="not Ollama") as caught,
    ):
        api.list_installed(server.url)
    assert caught.value.__cause__ is None  # it was refused before pydantic saw it


@pytest.mark.parametrize("name", ["", "\udcff"])
def test_empty_or_invalid_model_name_is_refused(name: str) -> None:
    """An empty model name, or one that is not valid text, raises UsageError."""
    with CannedServer({}) as server, pytest.raises(UsageError, match="is not a model name"):
        api.card(server.url, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 500 Oh\r\n\r\n"]
)
@pytest.mark.parametrize("place", PLACES)
def test_dripping_response_is_limited_in_total_time(
    place: str, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit covers the whole response, headers included, when it comes byte by byte."""
    monkeypatch.setattr(api, "SECONDS", 0.4)
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while not over.wait(0.05):
            connection.sendall(b" ")

    begun = monotonic()
    with raw(drip) as url:
        with pytest.raises(Unfinished, match=r"in time \(limit: [0-9.]+ s\)"):
            PLACES[place](url)
        over.set()
    assert monotonic() - begun < 5


@pytest.mark.parametrize("place", PLACES)
def test_endless_response_is_read_up_to_a_limit(place: str) -> None:
    """A response that never ends is read up to a limit and then refused."""
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 10 * ANSWER_BYTES:
            sent += connection.send(b" " * 65_536)

    with raw(flood) as url, pytest.raises(Unfinished, match="unlike Ollama") as ended:
        PLACES[place](url)
    assert "give the address of a server" in ended.value.cure
    assert sent < 3 * ANSWER_BYTES


def test_compressed_response_is_not_decompressed() -> None:
    """A compressed response is read as it is, because its unpacked size could exceed every
    limit.
    """

    def packed(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
        )

    with raw(packed) as url:
        assert api.request_json(url, "GET", "/", 5) == {}


def test_cloud_model_is_recognised_from_the_list() -> None:
    """The remote host of a model is taken from the list of models if its description lacks it."""
    tags: dict[str, object] = {"models": [{**TAG, "remote_host": "https://ollama.com"}]}
    with CannedServer({"POST /api/show": {"model_info": {}}, "GET /api/tags": tags}) as server:
        card = api.card(server.url, "m")
        [listed] = api.list_installed(server.url)
        again = api.card(server.url, "m", listed)
    assert card == again
    assert card is not None
    assert card.remote_host == "https://ollama.com"


@pytest.mark.parametrize("tags", [[], [{**TAG, "model": "other"}], [{**TAG, "digest": None}]])
def test_model_without_a_listed_digest_is_refused(tags: list[object]) -> None:
    """A model that the server describes but lists without a digest raises Unfinished."""
    answers: dict[str, Any] = {
        "POST /api/show": {"model_info": {}},
        "GET /api/tags": {"models": tags},
    }
    with (
        CannedServer(answers) as server,
        pytest.raises(Unfinished, match="shows the model m but lists no digest"),
    ):
        api.card(server.url, "m")


def test_full_model_name_is_found_in_the_list() -> None:
    """A model that is named with its registry and in another case is found in the list."""
    with CannedServer(
        {"POST /api/show": {"model_info": {}}, "GET /api/tags": {"models": [TAG]}}
    ) as server:
        card = api.card(server.url, "registry.ollama.ai/library/M:latest")
    assert card is not None
    assert card.digest == TAG["digest"]


def test_models_of_a_failing_server_do_not_hide_the_others(finops: Finops) -> None:
    """`finops models` with one failing server lists the other servers and ends with exit 2."""
    with (
        CannedServer({"GET /api/tags": 500}) as bad,
        CannedServer({"GET /api/tags": {"models": []}}) as good,
    ):
        done = finops("models", "--host", bad.url, "--host", good.url)
    assert (done.returncode, f"\n{good.url}  Ollama".encode() in done.stdout) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", [DEEP, LONG, NO_TEXT, b"[]", {"_debug_info": {"rendered_template": 5}}, 500]
)
def test_doctor_with_an_unusable_rendering_reports_poor(body: Any, finops: Finops) -> None:
    """For any response to the rendering request the doctor reports the prompt as poor, without a
    traceback.
    """
    names = ("finops-triage", "finops-resolver")
    tags = {"models": [{**TAG, "model": name} for name in names]}
    ps = {"models": [{"model": name, "size": HUGE, "size_vram": HUGE} for name in names]}
    answers = {
        "GET /api/tags": tags,
        "GET /api/ps": ps,
        "POST /api/show": {"model_info": {}},
        "POST /api/chat": body,
    }
    with CannedServer({**answers, "POST /api/generate": 400}) as server:
        done = finops("doctor", "--host", server.url, "--json")
        assert server.requests.count("POST /api/chat") == 2
    found = {diagnosis["what"]: diagnosis for diagnosis in json.loads(done.stdout)}
    assert b"Traceback" not in done.stderr
    assert (found["triage prompt"]["state"], found["memory"]["state"]) == ("poor", "poor")
    assert "does not report how it renders" in found["resolver prompt"]["detail"]
