"""The command `finops models` and the API below it: lists, model cards and memory of a server, with
translated errors.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, Model
from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError
from finops_cli.models.ollama import api
from finops_cli.models.servers import hosts
from tests.support.canned_server import CannedServer
from tests.support.cures import cured_by
from tests.support.program import Finops

NOWHERE = "http://127.0.0.1:9"
CLOUD: dict[str, object] = {
    "model": "gpt-oss:120b-cloud",
    "size": 384,
    "digest": "c" * 64,
    "remote_model": "gpt-oss:120b",
    "remote_host": "https://ollama.com:443",
}


def test_models_json_has_every_fact_of_the_table(finops: Finops) -> None:
    """`finops models --json` gives each model with its stage and all facts of the table."""
    with FakeOllama() as server:
        [_, listed] = json.loads(
            finops("models", "--host", server.url, "--json").stdout
        )  # what ships comes first
        triage = server.models.get("finops-triage")
    assert triage is not None
    assert (listed["host"], listed["version"]) == (server.url, "0.33.0")
    models = {model["name"]: model for model in listed["models"]}
    assert {name: model["stage"] for name, model in models.items()} == {
        "finops-triage": "triage",
        "finops-resolver": "resolver",
    }
    assert models["finops-triage"] == {
        "name": "finops-triage",
        "stage": "triage",
        "architecture": "qwen35",
        "quantization": "Q4_K_M",
        "size_bytes": triage.size,
        "context_length": 262_144,
        "loaded": False,
        "gpu_pct": None,
        "digest": triage.digest,
        "remote_host": None,
    }


def test_models_table_fits_80_columns(finops: Finops) -> None:
    """The table fits 80 columns. A long name has a line of its own and is not shortened."""
    long = "hf.co/someone/An-Exceedingly-Long-Name-Of-A-Model-GGUF:Q4_K_M-with-more-behind-it"
    with FakeOllama(
        models=[
            Model(long[:70], "qwen35moe"),
            Model("finops-triage", "qwen35", context_length=262_144),
        ]
    ) as server:
        text = finops("models", "--host", server.url).stdout.decode()
    assert text.startswith("finops ")
    lines = text[text.index(server.url) :].splitlines()
    assert lines[0] == f"{server.url}  Ollama 0.33.0"
    assert lines[1].split() == [
        "name",
        "stage",
        "arch",
        "quant",
        "size",
        "context",
        "loaded",
        "digest",
    ]
    assert long[:70] in lines
    assert max(map(len, text.splitlines())) <= 80
    assert any(
        line.startswith("finops-triage  triage  qwen35 ") and " 262144 " in line for line in lines
    )


def test_models_table_shows_the_gpu_part_of_loaded_models(finops: Finops) -> None:
    """A loaded model shows the percentage of it that is on the GPU, and other models show none."""
    running = {
        "models": [{"model": "a:latest", "size": 4_000, "size_vram": 3_000, "context_length": 2048}]
    }
    tags = {
        "models": [
            {"model": name, "size": 4_000, "digest": "d" * 64} for name in ("a:latest", "b:latest")
        ]
    }
    answers = {"GET /api/ps": running, "GET /api/tags": tags, "POST /api/show": {"model_info": {}}}
    with CannedServer(answers) as server:
        text = finops("models", "--host", server.url).stdout.decode()
        assert api.list_loaded(server.url) == [api.Loaded("a", 4_000, 3_000, 2048)]
    assert [line.split()[-3:-1] for line in text[text.index(server.url) :].splitlines()[2:]] == [
        ["75%", "GPU"],
        ["-", "no"],
    ]


def test_models_shows_a_model_as_loaded_after_a_request(finops: Finops) -> None:
    """A model is shown as loaded after a request without a prompt."""
    with FakeOllama() as server:
        httpx.post(
            f"{server.url}/api/generate", json={"model": "finops-triage"}, trust_env=False
        ).raise_for_status()
        [_, listed] = json.loads(
            finops("models", "--host", server.url, "--json").stdout
        )  # what ships comes first
    assert {model["name"]: model["loaded"] for model in listed["models"]} == {
        "finops-triage": True,
        "finops-resolver": False,
    }


def test_models_marks_a_cloud_model(finops: Finops) -> None:
    """A model that the server forwards to a remote host is marked as cloud in the card and the
    table.
    """
    show = {
        "remote_host": CLOUD["remote_host"],
        "remote_model": CLOUD["remote_model"],
        "details": {"family": "gptoss"},
    }
    with CannedServer({"GET /api/tags": {"models": [CLOUD]}, "POST /api/show": show}) as server:
        card = api.card(server.url, "gpt-oss:120b-cloud")
        [listed] = api.list_installed(server.url)
        text = finops("models", "--host", server.url).stdout.decode()
    assert card is not None
    assert (card.remote_host, card.architecture, listed.remote_host) == (
        CLOUD["remote_host"],
        "gptoss",
        CLOUD["remote_host"],
    )
    assert "  cloud  " in text


def test_create_from_a_cloud_model_is_refused(tmp_path: Any, finops: Finops) -> None:
    """FROM with a cloud model is refused, because the records would be sent to a remote host."""
    (tmp_path / "M").write_text("FROM gpt-oss:120b-cloud\n")
    with CannedServer(
        {
            "GET /api/tags": {"models": [CLOUD]},
            "POST /api/show": {"remote_host": CLOUD["remote_host"]},
        }
    ) as server:
        done = finops(
            "create", "--stage", "triage", "--modelfile", tmp_path / "M", "--host", server.url
        )
        assert "POST /api/create" not in server.requests
    assert (done.returncode, b"must stay in your network" in done.stderr) == (2, True)


def test_model_card_has_capabilities_context_and_digest() -> None:
    """A model card has capabilities, context, typed settings and digest. It is None if the model is
    absent.
    """
    with FakeOllama() as server:
        card = api.card(server.url, "finops-resolver")
        again = api.card(server.url, "finops-resolver:latest")
        resolver = server.models.get("finops-resolver")
        assert api.card(server.url, "absent") is None
    assert card is not None
    assert resolver is not None
    assert again == card
    assert (card.name, card.digest, card.architecture) == (
        "finops-resolver",
        resolver.digest,
        "qwen3",
    )
    assert (card.context_length, card.quantization, card.remote_host) == (40_960, "Q4_K_M", None)
    assert card.capabilities == ["completion", "thinking"]
    assert (
        card.parameters["num_ctx"],
        card.parameters["temperature"],
        card.parameters["stop"],
    ) == (5120, 0.1, ["<|im_end|>"])


def test_models_with_an_unreachable_server_lists_the_others(
    finops: Finops,
) -> None:
    """`finops models` with an unreachable server ends with exit 3 and a fix on stderr, and lists
    the other servers on stdout.
    """
    with FakeOllama() as server:
        done = finops("models", "--host", NOWHERE, "--host", server.url)
    assert (done.returncode, b"ollama serve" in done.stderr) == (3, True)
    assert f"\n{server.url}  Ollama".encode() in done.stdout


def test_models_of_an_empty_server_suggests_create(finops: Finops) -> None:
    """For a server without models the table suggests `finops create`."""
    with FakeOllama(models=[]) as server:
        assert (
            "`finops create` makes them" in finops("models", "--host", server.url).stdout.decode()
        )


def test_models_refuses_a_public_address(finops: Finops) -> None:
    """`finops models` with a public address ends with exit 2."""
    done = finops("models", "--host", "8.8.8.8")
    assert (done.returncode, b"public address" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("answers", "torn", "kind", "message"),
    [
        ({}, (), MissingPiece, "is not Ollama"),
        ({"GET /api/version": {"version": 1}}, (), MissingPiece, "is not Ollama"),
        ({"GET /api/version": b"<html>"}, (), MissingPiece, "is not Ollama"),
        ({"GET /api/version": 307}, (), MissingPiece, "is not Ollama"),
        ({"GET /api/version": b"{}"}, ("GET /api/version",), Unfinished, "connection broke"),
    ],
)
def test_version_errors_are_finops_errors(
    answers: dict[str, Any], torn: tuple[str, ...], kind: type, message: str
) -> None:
    """Another service, a redirect and a broken connection at the version request raise finops
    errors.
    """
    with (
        CannedServer({"GET /api/version": 404, **answers}, torn) as server,
        pytest.raises(kind, match=message),
    ):
        api.version(server.url)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (404, Unfinished, "answered 404"),
        (500, Unfinished, "answered 500"),
        (307, Unfinished, "answered 307"),
        (b"<html>", MissingPiece, "is not Ollama"),
        (b"[]", MissingPiece, "is not Ollama"),
        (b"{}", MissingPiece, "is not Ollama"),
        ({"models": [{"size": "large"}]}, MissingPiece, "is not Ollama"),
    ],
)
def test_model_list_errors_are_finops_errors(
    answer: Any, kind: type[FinopsError], message: str
) -> None:
    """Errors of the `ollama` package and of pydantic for the list of models become finops
    errors.
    """
    with CannedServer({"GET /api/tags": answer}) as server, pytest.raises(kind, match=message):
        api.list_installed(server.url)


@pytest.mark.parametrize(
    "ask", [api.version, api.list_installed, api.list_loaded, lambda url: api.card(url, "x")]
)
def test_unreachable_server_is_a_missing_piece(ask: Any) -> None:
    """Each request to a server that does not answer raises MissingPiece with the fix `ollama
    serve`.
    """
    with pytest.raises(MissingPiece, check=cured_by("ollama serve")):
        ask(NOWHERE)


def test_server_requests_ignore_proxy_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go directly to the server, whatever proxy the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with FakeOllama() as server:
        assert api.version(server.url) == "0.33.0"
        assert len(api.list_installed(server.url)) == 2


def test_server_requests_do_not_send_the_cloud_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """OLLAMA_API_KEY of the environment is not sent to a server."""
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    with CannedServer({"GET /api/tags": {"models": []}}) as server:
        assert (api.list_installed(server.url), server.requests, server.keys) == (
            [],
            ["GET /api/tags"],
            [],
        )


HERE = "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (":11434", HERE),
        ("http://:11434", HERE),
        (" http://127.0.0.1:11434 ", HERE),
        ("0.0.0.0", HERE),  # noqa: S104 - to be asked, not bound
        ("::", HERE),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("https://box/ollama/", "https://box:443/ollama"),
        ("HTTP://Box", "http://box:80"),
        ("m\u00fchle", "http://m\u00fchle:11434"),
        ("gpu_box.local.", "http://gpu_box.local.:11434"),
    ],
)
def test_host_address_forms_of_ollama_are_accepted(
    host: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form of address that Ollama accepts gives the same URL by `--host` and by
    OLLAMA_HOST.
    """
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert hosts.resolve_hosts(()) == hosts.resolve_hosts((host,)) == (url,)


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_ollama_host_means_the_default_address(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty OLLAMA_HOST means the default address, and an empty `--host` is refused."""
    monkeypatch.setenv("OLLAMA_HOST", value)
    assert hosts.resolve_hosts(()) == (HERE,)
    with pytest.raises(UsageError, match="--host"):
        hosts.resolve_hosts((value,))


BAD = [
    "x" * 64,
    "a..b",
    ".",
    "http://xn--",
    "a.\u0378",
    "http://",
    "http://:pw@host",
    "me@host",
    "host#frag",
    "host?q",
    "a b",
    "a\nb",
    "a\udcff",
    "http://a,b",
    "ftp://host",
    "host:0",
    "host:65536",
    "host:" + "9" * 5_000,
    "[::1",
    "h/" + "x" * 70_000,
]


@pytest.mark.parametrize("host", BAD, ids=range(len(BAD)))
def test_invalid_host_address_names_its_origin(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid address is refused with a short message that names OLLAMA_HOST or `--host`."""
    monkeypatch.setenv("OLLAMA_HOST", host)
    for arguments, origin in (((), "OLLAMA_HOST="), ((host,), "--host ")):
        with pytest.raises(UsageError, match="accepted: ") as caught:
            hosts.resolve_hosts(arguments)
        assert str(caught.value).startswith(origin)
        assert len(str(caught.value).encode()) < 400


@pytest.mark.parametrize(
    "host", ["http://user:geheim@127.0.0.1:9", "user:geheim@h", "http://u:ge@heim@h/x"]
)
def test_password_in_an_address_is_not_repeated(host: str) -> None:
    """An address with a user is refused, and the message has the server alone."""
    with pytest.raises(UsageError, match=r"--host \*\*\*@.*accepted: ") as caught:
        hosts.base_url(host)
    assert not any(secret in str(caught.value) for secret in ("geheim", "ge@", "user:", "heim@"))


def test_ipv6_address_with_a_port_needs_brackets() -> None:
    """An IPv6 address with a port and without brackets is refused with the accepted form."""
    with pytest.raises(UsageError, match=r"accepted: \[::1\]:11434"):
        hosts.base_url("::1:11434")
