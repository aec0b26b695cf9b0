"""Read the state of an Ollama server: its version, its models, the card of a model, and loaded
models.

Requests go through the official `ollama` package, without redirects and without proxies of the
environment. An answer is read up to `ANSWER_BYTES` and for at most `SECONDS`. Errors are translated
here: a server that does not answer is a MissingPiece with its fix, and an unusable answer is
Unfinished. The package's types drop `remote_host`, which marks a model that the server only
forwards to a cloud, so the JSON is kept too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
from msgspec import Struct

from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.models.bundled import MADE_FOR
from finops_cli.models.ollama.package import import_ollama
from finops_cli.models.ollama_options import OPTIONS, Value
from finops_cli.models.servers import hosts
from finops_cli.models.servers.bounded import SECONDS, BoundedTransport
from finops_cli.models.servers.timeouts import bound_of
from finops_cli.models.servers.values import LARGEST, parse_json, text, whole

if TYPE_CHECKING:
    import ollama

_MODELS = 10_000
"""Maximum number of entries of a list.

For millions of wrong entries, the checks of the `ollama` package would make gigabytes of messages.
"""
_NOT_FOUND = 404
_LOG = "the server's log says more (`journalctl -u ollama`)"


class OllamaRefused(Unfinished):
    """The server answered with an HTTP error status."""

    def __init__(self, url: str, status: int, body: bytes) -> None:
        super().__init__(f"{url} answered {status}: {_error_text(body) or 'nothing more'}", _LOG)
        self.status = status


class Installed(Struct, frozen=True, kw_only=True):
    """One model in the server's list."""

    name: str
    digest: str
    size: int
    """In bytes."""
    architecture: str | None
    quantization: str | None
    remote_host: str | None
    """The cloud host that the server forwards to; null for a local model."""


class ModelCard(Struct, frozen=True, kw_only=True):
    """The description of one model by its server."""

    name: str
    digest: str
    architecture: str | None
    capabilities: list[str]
    context_length: int | None
    """In tokens, as trained."""
    parameters: dict[str, Value]
    quantization: str | None
    remote_host: str | None
    made_for: str | None
    """The Modelfile that the model was trained for (`models.bundled`)."""


class Loaded(Struct, frozen=True):
    """A model in memory."""

    name: str
    size: int
    """Total size in bytes."""
    size_vram: int
    """Bytes in GPU memory."""
    context_length: int | None
    """In tokens, as loaded."""


def version(url: str) -> str:
    """Return the server's version, unchanged."""
    reply = None
    with suppress(OllamaRefused):
        reply = request_json(url, "GET", "/api/version", SECONDS).get("version")
    if not isinstance(reply, str):
        raise _not_ollama_error(url)
    return text(reply) or ""


def list_installed(url: str) -> list[Installed]:
    """List every model of the server that has a name, in the server's order."""
    return [
        Installed(
            name=short(name),
            digest=(text(entry.get("digest")) or "").removeprefix("sha256:"),
            size=whole(entry.get("size")) or 0,
            architecture=text(_mapping(entry.get("details")).get("family")),
            quantization=text(_mapping(entry.get("details")).get("quantization_level")),
            remote_host=_remote_host(entry),
        )
        for entry in _request_models(url, lambda client: client.list())
        if (name := text(entry.get("model"))) is not None
    ]


def card(url: str, name: str, known: Installed | None = None) -> ModelCard | None:
    """Return the card of the model `name`; None if the server does not have it.

    `known` is the entry of the list, if the caller has it, and saves a request. Raises Unfinished
    for a model without a digest in the list, because its answers could not be traced.
    """
    reply = _request_card(url, name)
    if reply is None:
        return None
    if known is None:
        same = short(name).lower()  # case does not matter
        known = next((model for model in list_installed(url) if model.name.lower() == same), None)
        if known is None or not known.digest:
            raise Unfinished(
                f"{url} shows the model {name} but lists no digest of it",
                "run `ollama list` there to see its models",
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
    """List every model that the server has in memory."""
    return [
        Loaded(
            short(name),
            whole(entry.get("size")) or 0,
            whole(entry.get("size_vram")) or 0,
            whole(entry.get("context_length")),
        )
        for entry in _request_models(url, lambda client: client.ps())
        if (name := text(entry.get("model")) or text(entry.get("name"))) is not None
    ]


def short(name: str) -> str:
    """Shorten a model's name: drop the default registry, namespace and tag."""
    return name.removeprefix("registry.ollama.ai/").removeprefix("library/").removesuffix(":latest")


def request_json(
    url: str, method: str, path: str, seconds: float, body: object = None
) -> Mapping[str, Any]:
    """The JSON object that the server answers, whole and in time.

    Raises Refused for an HTTP status that is an error.
    """
    with (
        translate_errors(url),
        hosts.open_client(url, timeout=seconds, transport=_bounded(url, seconds)) as client,
    ):
        return _parse_reply(url, client.request(method, path, json=body))


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Translate exceptions of httpx, the `ollama` package and pydantic.

    The new errors name the server and the fix.
    """
    import pydantic

    try:
        yield
    except BrokenPipeError:
        raise  # also a ConnectionError, but of stdout
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
        cure = "start Ollama there with `ollama serve`, or name its address: --host"
        raise MissingPiece(f"nothing answers at {url}", cure) from error
    except httpx.TimeoutException as error:
        raise Unfinished(f"{url}: no whole answer in time{bound_of(error)}", _LOG) from error
    except httpx.HTTPError as error:
        raise Unfinished(f"{url}: the connection broke ({error})", _LOG) from error
    except (pydantic.ValidationError, OverflowError, RecursionError) as error:
        raise _not_ollama_error(url) from error


def _bounded(url: str, seconds: float) -> BoundedTransport:
    return BoundedTransport(url, seconds, "Ollama")


@contextmanager
def _open_client(url: str) -> Iterator[tuple[ollama.Client, list[Mapping[str, Any]]]]:
    """Open a client, and collect the JSON of each answer."""
    ollama = import_ollama()

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
        ollama.Client(url, timeout=SECONDS, transport=_bounded(url, SECONDS), **options) as client,
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


def _request_models(
    url: str, request: Callable[[ollama.Client], object]
) -> list[Mapping[str, Any]]:
    """Return the entries of `models` in the server's answer to `request`.

    The package's own types refuse a list with a size or a time of an odd type, so the entries are
    read from the JSON.
    """
    import pydantic

    with _open_client(url) as (client, replies):
        with suppress(pydantic.ValidationError):
            request(client)
        models = replies[-1].get("models")
    if not isinstance(models, list) or not all(isinstance(entry, Mapping) for entry in models):
        raise _not_ollama_error(url)
    if models and not any("model" in entry or "name" in entry for entry in models):
        raise _not_ollama_error(url)
    return models


def _request_card(url: str, name: str) -> Mapping[str, Any] | None:
    """Return the answer of /api/show.

    The package's own type requires `model_info`, which the server omits for a cloud model.
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
            if not replies:  # no request was sent
                raise UsageError(
                    f"{name!a} is not a model name", "give a name as in `ollama list`"
                ) from error
        return replies[-1]


def _not_ollama_error(url: str) -> MissingPiece:
    return MissingPiece(
        f"{url}: the program there is not Ollama",
        "give the address of Ollama: --host; vLLM and its like need --backend openai",
    )


def _error_text(body: bytes) -> str | None:
    """Extract the message of an error answer: the text of `{"error": ...}`, else the start of the
    body.
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
    """Parse the lines `name    value` of `show`, whose values are written as in JSON.

    The value of an unknown option stays a text.
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
                value if isinstance(value, int | float) and abs(value) <= LARGEST else rest.strip()
            )
    return found
