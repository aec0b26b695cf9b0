"""Reads what an Ollama server has: its version, the models that are installed, one model's card,
and what is loaded.

The official `ollama` package asks; it follows no redirect, uses no proxy of the environment, and an
answer is read up to `ANSWER_BYTES` and for at most `SECONDS`. What goes wrong is told here, once:
no answer is a MissingPiece with its cure, an answer that is no use is Unfinished. The package's
types drop `remote_host`, which tells a model that the server only forwards to a cloud, so the JSON
itself is kept beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
from msgspec import Struct

from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.models.bundled import MADE_FOR
from finops_cli.models.ollama import hosts
from finops_cli.models.ollama.timeouts import TimedTransport, total_timeout
from finops_cli.models.ollama_options import OPTIONS, Value

if TYPE_CHECKING:
    import ollama

SECONDS = 20.0
"""How long a list, a card or a version is waited for, in all and not for each piece of it."""
ANSWER_BYTES = 4 * 1024 * 1024
"""Upper limit of one answer: a list takes some 500 bytes a model, a card with its licence and its
tensors a few 100,000.
"""
_MODELS = 10_000
"""Upper limit of the entries of a list: of millions of entries that are all wrong, the checks of
the `ollama` package make gigabytes of complaints.
"""
_TEXT_CHARS = 1_000
_LARGEST = 2**53
_NOT_FOUND = 404
_LOG = "the server's log says more (`journalctl -u ollama`)"


class OllamaRefused(Unfinished):
    """The server answered with an HTTP status that is an error."""

    def __init__(self, url: str, status: int, body: bytes) -> None:
        super().__init__(f"{url} answered {status}: {_error_text(body) or 'nothing more'}", _LOG)
        self.status = status


class Installed(Struct, frozen=True):
    """One model of the server's list.

    `size` in bytes; `remote_host` where the server only forwards to a cloud.
    """

    name: str
    digest: str
    size: int
    architecture: str | None
    quantization: str | None
    remote_host: str | None


class ModelCard(Struct, frozen=True):
    """The description of one model by its server.

    `context_length` in tokens, as trained; `parameters` typed; `made_for`: see `models.shipped`.
    """

    name: str
    digest: str
    architecture: str | None
    capabilities: list[str]
    context_length: int | None
    parameters: dict[str, Value]
    quantization: str | None
    remote_host: str | None
    made_for: str | None


class Loaded(Struct, frozen=True):
    """A model in memory: `size` bytes in all, `size_vram` of them on GPUs; `context_length` in
    tokens, as it was loaded.
    """

    name: str
    size: int
    size_vram: int
    context_length: int | None


def version(url: str) -> str:
    """The server's version, as it says it."""
    reply = None
    with suppress(OllamaRefused):
        reply = request_json(url, "GET", "/api/version", SECONDS).get("version")
    if not isinstance(reply, str):
        raise _not_ollama_error(url)
    return text(reply) or ""


def list_installed(url: str) -> list[Installed]:
    """Every model of the server that has a name, in its order."""
    with _open_client(url) as (client, replies):
        models = client.list().models
    return [
        Installed(
            name=short(name),
            digest=(text(model.digest) or "").removeprefix("sha256:"),
            size=whole(model.size) or 0,
            architecture=text(model.details and model.details.family),
            quantization=text(model.details and model.details.quantization_level),
            remote_host=_remote_host(entry),
        )
        for model, entry in zip(models, replies[-1]["models"], strict=True)
        if (name := text(model.model)) is not None
    ]


def card(url: str, name: str, known: Installed | None = None) -> ModelCard | None:
    """The card of the model `name`; None when the server does not have it. Whoever has its line of
    the list spares the server another.

    Raises Unfinished for a model that is shown but not listed with a digest: nobody could tell
    later what answered.
    """
    reply = _request_card(url, name)
    if reply is None:
        return None
    if known is None:
        same = short(name).lower()  # names know no case
        known = next((model for model in list_installed(url) if model.name.lower() == same), None)
        if known is None or not known.digest:
            raise Unfinished(
                f"{url} shows the model {name} but lists no digest of it",
                "`ollama list` there tells what it has",
            )
    details, info = _mapping(reply.get("details")), _mapping(reply.get("model_info"))
    architecture = text(info.get("general.architecture")) or text(details.get("family"))
    capabilities = reply.get("capabilities")
    return ModelCard(
        name=short(name),
        digest=known.digest,
        architecture=architecture,
        capabilities=(
            list(filter(None, map(text, capabilities))) if isinstance(capabilities, list) else []
        ),
        context_length=whole(info.get(f"{architecture}.context_length")),
        parameters=_parse_parameters(reply.get("parameters")),
        quantization=text(details.get("quantization_level")),
        remote_host=_remote_host(reply) or known.remote_host,
        made_for=text(info.get(MADE_FOR)),
    )


def list_loaded(url: str) -> list[Loaded]:
    """Every model that the server holds in memory."""
    with _open_client(url) as (client, _):
        models = client.ps().models
    return [
        Loaded(
            short(name),
            whole(model.size) or 0,
            whole(model.size_vram) or 0,
            whole(model.context_length),
        )
        for model in models
        if (name := text(model.model) or text(model.name)) is not None
    ]


def short(name: str) -> str:
    """A model's name without the registry, the namespace and the tag that everyone means when none
    is given.
    """
    return name.removeprefix("registry.ollama.ai/").removeprefix("library/").removesuffix(":latest")


def request_json(
    url: str, method: str, path: str, seconds: float, body: object = None
) -> Mapping[str, Any]:
    """The JSON object that the server answers, whole and in time.

    Raises Refused for an HTTP status that is an error.
    """
    with (
        translate_errors(url),
        hosts.open_client(url, timeout=seconds, transport=_Bounded(url, seconds)) as client,
    ):
        return _parse_reply(url, client.request(method, path, json=body))


def text(value: object) -> str | None:
    """`value` of a server as one line that every terminal and file takes; None where it is no text,
    or an empty one.
    """
    if not isinstance(value, str) or not value:
        return None
    return "".join(
        character if character.isprintable() else "\ufffd" for character in value[:_TEXT_CHARS]
    )


def whole(value: object) -> int | None:
    """`value` of a server as a count that every reader of JSON takes; None where it is none."""
    return (
        int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
        else None
    )


def parse_json(body: bytes) -> Any:
    """The JSON of `body`. Raises ValueError, also for what is nested too deep."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turns what httpx, the `ollama` package and pydantic raise into errors of finops that name the
    server and the cure.
    """
    import pydantic

    try:
        yield
    except BrokenPipeError:
        raise  # a ConnectionError too, but of our own output
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
        cure = "start Ollama there with `ollama serve`, or name its address: --host"
        raise MissingPiece(f"nothing answers at {url}", cure) from error
    except httpx.TimeoutException as error:
        raise Unfinished(f"{url}: the server fell silent, or is too slow", _LOG) from error
    except httpx.HTTPError as error:
        raise Unfinished(f"{url}: the connection broke ({error})", _LOG) from error
    except (pydantic.ValidationError, OverflowError, RecursionError) as error:
        raise _not_ollama_error(url) from error


class _Bounded(TimedTransport):
    """Reads every answer whole before it hands it on: up to `ANSWER_BYTES` of it, within `seconds`
    of the request.
    """

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__()
        self._url = url
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept-Encoding"] = (
            "identity"  # what comes packed is no JSON: a small packet can hold any amount
        )
        body = bytearray()
        with (
            total_timeout(monotonic() + self._seconds),
            closing(super().handle_request(request)) as answer,
        ):
            for piece in answer.iter_raw():
                body += piece
                if len(body) > ANSWER_BYTES:
                    raise Unfinished(
                        f"{self._url}: more than {ANSWER_BYTES:,} bytes came of {request.url.path},"
                        " unlike Ollama"
                    )
        return httpx.Response(answer.status_code, content=bytes(body))


@contextmanager
def _open_client(url: str) -> Iterator[tuple[ollama.Client, list[Mapping[str, Any]]]]:
    """A client, and the JSON of every answer that it got."""
    import ollama

    replies: list[Mapping[str, Any]] = []

    def keep_secret(request: httpx.Request) -> None:
        request.headers.pop(
            "Authorization", None
        )  # the package sends OLLAMA_API_KEY, a key to Ollama's cloud, to every server

    hooks = {
        "request": [keep_secret],
        "response": [lambda answer: replies.append(_parse_reply(url, answer))],
    }
    options: dict[str, Any] = {"trust_env": False, "follow_redirects": False, "event_hooks": hooks}
    with (
        translate_errors(url),
        ollama.Client(url, timeout=SECONDS, transport=_Bounded(url, SECONDS), **options) as client,
    ):
        yield client, replies


def _parse_reply(url: str, answer: httpx.Response) -> Mapping[str, Any]:
    if not answer.is_success:
        raise OllamaRefused(url, answer.status_code, answer.content)
    with suppress(ValueError):
        reply = parse_json(answer.content)
        models = reply.get("models") if isinstance(reply, Mapping) else None
        if isinstance(reply, Mapping) and not (isinstance(models, list) and len(models) > _MODELS):
            return reply
    raise _not_ollama_error(url)


def _request_card(url: str, name: str) -> Mapping[str, Any] | None:
    """The answer of /api/show.

    The package's own type demands `model_info`, which the server leaves out for a cloud model.
    """
    import pydantic

    with _open_client(url) as (client, replies):
        try:
            client.show(name)
        except OllamaRefused as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        except pydantic.ValidationError as error:
            if not replies:  # nothing was asked
                raise UsageError(f"{name!a} is no name of a model") from error
        return replies[-1]


def _not_ollama_error(url: str) -> MissingPiece:
    return MissingPiece(f"{url}: what answers there is not Ollama", "name its address: --host")


def _error_text(body: bytes) -> str | None:
    """Extract the message of an answer that is an error: the text of `{"error": ...}`, else the
    beginning of the body.
    """
    reply = None
    with suppress(ValueError):
        reply = parse_json(body)
    return text(_mapping(reply).get("error")) or text(body.decode("utf-8", "replace")[:200])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _remote_host(reply: Mapping[str, Any]) -> str | None:
    remote = reply.get("remote_host") or reply.get("remote_model")
    return text(remote) or ("a cloud" if remote else None)


def _parse_parameters(reply: object) -> dict[str, Value]:
    """The lines `name    value` of `show`, whose values are written as in JSON; an option unknown
    here stays a text.
    """
    found: dict[str, Value] = {}
    for line in reply.splitlines() if isinstance(reply, str) else ():
        name, _, rest = (text(line.strip()) or "").partition(" ")
        try:
            value = parse_json(rest.strip().encode())
        except ValueError:
            value = rest.strip()
        if OPTIONS.get(name) == "a text":
            before = found.get(name)
            given = str(value).encode(errors="replace").decode()
            found[name] = [*(before if isinstance(before, list) else []), given]
        elif name:
            found[name] = (
                value if isinstance(value, int | float) and abs(value) <= _LARGEST else rest.strip()
            )
    return found
