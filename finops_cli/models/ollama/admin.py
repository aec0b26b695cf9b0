"""What an Ollama server has: its version, the models that are installed, one model's card, and what is loaded.

The official `ollama` package asks; it follows no redirect, uses no proxy of the environment and waits at most `SECONDS`. What it raises
is translated here, once: no answer is a MissingPiece with its cure, an answer that is no use is Unfinished. Its types drop `remote_host`,
which tells a model that the server only forwards to a cloud, so the JSON itself is kept beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from finops_cli.errors import MissingPiece, Unfinished
from finops_cli.models.ollama import hosts
from finops_cli.models.parameters import OPTIONS, Value

if TYPE_CHECKING:
    import httpx
    import ollama

SECONDS = 20.0
"""How long a list, a card or a version is waited for."""
_LATEST = ":latest"
_NOT_FOUND = 404
_LOG = "the server's log says more (`journalctl -u ollama`)"


class Installed(Struct, frozen=True):
    """One model of the server's list. `size` in bytes; `remote_host` where the server only forwards to a cloud."""

    name: str
    digest: str
    size: int
    architecture: str | None
    quantization: str | None
    remote_host: str | None


class ModelCard(Struct, frozen=True):
    """What the server knows of one model. `context_length` in tokens, as the model was trained; `parameters` typed as in the API."""

    name: str
    digest: str
    architecture: str | None
    capabilities: list[str]
    context_length: int | None
    parameters: dict[str, Value]
    quantization: str | None
    template: str | None
    remote_host: str | None


class Loaded(Struct, frozen=True):
    """A model in memory: `size` bytes in all, `size_vram` of them on GPUs; `context_length` in tokens, as it was loaded."""

    name: str
    size: int
    size_vram: int
    context_length: int | None


def version(url: str) -> str:
    """The server's version, as it says it."""
    with translated(url), hosts.client(url, timeout=SECONDS) as client:
        answer = client.get("/api/version")
        said = answer.json() if answer.is_success else None
    if not isinstance(said, Mapping) or not isinstance(said.get("version"), str):
        raise MissingPiece(_no_ollama(url))
    return str(said["version"])


def installed(url: str) -> list[Installed]:
    """Every model of the server, in its order."""
    with _asking(url) as (client, heard):
        models = client.list().models
        remote = [entry.get("remote_host") or entry.get("remote_model") or None for entry in heard[-1]["models"]]
    return [
        Installed(
            name=short(model.model or ""),
            digest=_digest(model.digest),
            size=int(model.size or 0),
            architecture=(model.details and model.details.family) or None,
            quantization=(model.details and model.details.quantization_level) or None,
            remote_host=host,
        )
        for model, host in zip(models, remote, strict=True)
    ]


def card(url: str, name: str, digest: str | None = None) -> ModelCard | None:
    """The card of the model `name`; None when the server does not have it. Whoever knows its digest spares the server a list."""
    shown = _show(url, name)
    if shown is None:
        return None
    if digest is None:
        same = short(name).lower()  # names know no case
        digest = next((model.digest for model in installed(url) if model.name.lower() == same), "")
    architecture = shown.model_info.get("general.architecture") or shown.details.family
    return ModelCard(
        name=short(name),
        digest=digest,
        architecture=architecture,
        capabilities=shown.capabilities,
        context_length=shown.model_info.get(f"{architecture}.context_length"),
        parameters=_parameters(shown.parameters),
        quantization=shown.details.quantization_level,
        template=shown.template,
        remote_host=shown.remote_host or shown.remote_model or None,
    )


def loaded(url: str) -> list[Loaded]:
    """Every model that the server holds in memory."""
    with _asking(url) as (client, _):
        models = client.ps().models
    return [
        Loaded(short(model.model or model.name or ""), int(model.size or 0), int(model.size_vram or 0), model.context_length)
        for model in models
    ]


def short(name: str) -> str:
    """A model's name without the tag that everyone means when none is given."""
    return name.removesuffix(_LATEST)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns what httpx, the `ollama` package and pydantic raise into errors of finops that name the server and the cure."""
    import httpx
    import ollama
    import pydantic

    try:
        yield
    except BrokenPipeError:
        raise  # a ConnectionError too, but of our own output
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise MissingPiece(
            f"nothing answers at {url}; start Ollama there with `ollama serve`, or name its address: --host"
        ) from error
    except httpx.TimeoutException as error:
        raise Unfinished(f"{url}: the server fell silent; {_LOG}") from error
    except ollama.ResponseError as error:
        raise Unfinished(_refused(url, error.status_code, error.error)) from error
    except httpx.HTTPStatusError as error:
        raise Unfinished(_refused(url, error.response.status_code, complaint(error.response))) from error
    except httpx.HTTPError as error:
        raise Unfinished(f"{url}: the connection broke ({error}); {_LOG}") from error
    except (pydantic.ValidationError, msgspec.ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MissingPiece(_no_ollama(url)) from error


def complaint(response: httpx.Response) -> str:
    """What a server says in an answer that is an error: the text of `{"error": ...}`, else the beginning of the body."""
    try:
        answer = json.loads(response.read())
    except ValueError:
        answer = response.text[:200]
    return str(answer["error"]) if isinstance(answer, Mapping) and "error" in answer else str(answer)


@contextmanager
def _asking(url: str) -> Iterator[tuple[ollama.Client, list[Any]]]:
    """A client, and the JSON of every answer that it got."""
    import ollama

    heard: list[Any] = []

    def hear(response: httpx.Response) -> None:
        if response.is_success:
            heard.append(json.loads(response.read()))
            if not isinstance(heard[-1], Mapping):
                raise MissingPiece(_no_ollama(url))

    def keep_secret(request: httpx.Request) -> None:
        request.headers.pop("Authorization", None)  # the package sends OLLAMA_API_KEY, a key to Ollama's cloud, to every server

    hooks = {"request": [keep_secret], "response": [hear]}
    with (
        translated(url),
        ollama.Client(url, timeout=SECONDS, trust_env=False, follow_redirects=False, event_hooks=hooks) as client,
    ):
        yield client, heard


class _Details(Struct, frozen=True):
    family: str | None = None
    quantization_level: str | None = None


class _Shown(Struct, frozen=True):
    """An answer of /api/show. The package's own type demands `model_info`, which the server leaves out for a cloud model."""

    details: _Details = _Details()
    model_info: dict[str, Any] = {}
    capabilities: list[str] = []
    parameters: str = ""
    template: str | None = None
    remote_host: str | None = None
    remote_model: str | None = None


def _show(url: str, name: str) -> _Shown | None:
    import ollama
    import pydantic

    with _asking(url) as (client, heard):
        try:
            client.show(name)
        except ollama.ResponseError as error:
            if error.status_code == _NOT_FOUND:
                return None
            raise
        except pydantic.ValidationError:
            pass  # read below, from the JSON itself
        return msgspec.convert(heard[-1], _Shown)


def _refused(url: str, status: int, said: str) -> str:
    return f"{url} answered {status}: {said or 'nothing more'}; {_LOG}"


def _no_ollama(url: str) -> str:
    return f"{url}: what answers there is not Ollama; name its address: --host"


def _digest(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")


def _parameters(text: str) -> dict[str, Value]:
    """The lines `name    value` of `show`, whose values are written as in JSON; an option unknown here stays a text."""
    found: dict[str, Value] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        try:
            value = json.loads(rest.strip())
        except ValueError:
            value = rest.strip()
        if OPTIONS.get(name) == "a text":
            before = found.get(name)
            found[name] = [*(before if isinstance(before, list) else []), str(value)]
        elif name:
            found[name] = value if isinstance(value, int | float | str) else rest.strip()
    return found
