"""Read what a server lists at `/v1/models`.

An answer is read up to a size and a time, without redirects and without proxies of the environment.
Errors are translated here: a server that does not answer is a MissingPiece with its fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from msgspec import Struct

from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.models.openai.api_key import CURE, ApiKey
from finops_cli.models.servers import hosts
from finops_cli.models.servers.bounded import SECONDS, BoundedTransport
from finops_cli.models.servers.timeouts import bound_of
from finops_cli.models.servers.values import parse_json, text, whole

DEFAULT_PORT = 8000
"""The port of vLLM, of Ray Serve and of llama-cpp-python."""
_MODELS = 10_000
"""Maximum number of entries of a list."""
_LATEST = ":latest"
_NO_ENTRY = (401, 403)
_LOG = "see the server's log"
_NOT_THIS_API = "give the address of a server with OpenAI's API: --host http://HOST:PORT"


class ServedModel(Struct, frozen=True, kw_only=True):
    """One model in the server's list."""

    name: str
    owner: str | None
    """`vllm`, `sglang`, `llamacpp`, or what else the server says (`owned_by`)."""
    context_length: int | None
    """In tokens, where the server says it (`max_model_len`)."""
    parent: str | None
    """The model that an adapter belongs to."""

    def is_named(self, name: str) -> bool:
        """Return true if the server knows the model as `name`."""
        return self.name.removesuffix(_LATEST) == name.removesuffix(_LATEST)


def resolve_urls(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the base URLs of `given`, without the `/v1` that clients of OpenAI write.

    Raises UsageError for none, and for an invalid one.
    """
    if not given:
        raise UsageError(
            "--backend openai: no server is named", "name each server: --host http://HOST:PORT"
        )
    return hosts.refuse_repeated(
        tuple(hosts.base_url(host, default_port=DEFAULT_PORT).removesuffix("/v1") for host in given)
    )


def list_models(url: str, key: ApiKey) -> list[ServedModel]:
    """List the models of the server at `url`, in its order.

    Raises MissingPiece or Unfinished if it does not answer as a server of this protocol does.
    """
    with (
        _translate_errors(url, key),
        hosts.open_client(
            url,
            timeout=SECONDS,
            transport=BoundedTransport(url, SECONDS, "a list of models"),
            headers=key.headers(),
        ) as client,
    ):
        answer = client.get("/v1/models")
    if answer.status_code in _NO_ENTRY:
        state = "refuses the key" if key else "asks for a key"
        raise MissingPiece(f"{url} {state} (HTTP {answer.status_code})", CURE)
    if not answer.is_success:
        found = text(key.scrub(answer.content.decode("utf-8", "replace"))[:200]) or "nothing more"
        if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Unfinished(f"{url}/v1/models: HTTP {answer.status_code}: {found}", _LOG)
        raise MissingPiece(f"{url}/v1/models: HTTP {answer.status_code}: {found}", _NOT_THIS_API)
    return _parse_list(url, answer.content, key)


def _parse_list(url: str, content: bytes, key: ApiKey) -> list[ServedModel]:
    try:
        reply = parse_json(content)
    except ValueError:
        reply = None
    listed = reply.get("data") if isinstance(reply, Mapping) else None
    if not isinstance(listed, list) or len(listed) > _MODELS:
        raise MissingPiece(
            f"{url}/v1/models: the program there does not list models as OpenAI's API does",
            _NOT_THIS_API,
        )
    return [
        ServedModel(
            name=name,
            owner=_text_without(key, entry.get("owned_by")),
            context_length=_context_of(entry),
            parent=_text_without(key, entry.get("parent")),
        )
        for entry in listed
        if isinstance(entry, Mapping) and (name := _text_without(key, entry.get("id"))) is not None
    ]


def _text_without(key: ApiKey, value: object) -> str | None:
    """Return a server's `value` as one line without the key, which is taken out before the line is
    cut.
    """
    return text(key.scrub(value)) if isinstance(value, str) else None


def _context_of(entry: Mapping[str, Any]) -> int | None:
    """Return the context of vLLM and SGLang; llama-server divides its own among its slots, so its
    number is not used.
    """
    return whole(entry.get("max_model_len")) or None


@contextmanager
def _translate_errors(url: str, key: ApiKey) -> Iterator[None]:
    """Translate the exceptions of httpx. The new errors name the server and the fix."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if "certificate" in str(error).lower():
            raise MissingPiece(
                f"{url}: its certificate is not trusted ({error})",
                "set SSL_CERT_FILE to the certificate of your authority",
            ) from error
        raise MissingPiece(
            f"nothing answers at {url}", "start the server, or name another address: --host"
        ) from error
    except httpx.TimeoutException as error:
        raise Unfinished(f"{url}: no whole answer in time{bound_of(error)}", _LOG) from error
    except httpx.HTTPError as error:
        raise Unfinished(f"{url}: the connection broke ({key.scrub(str(error))})", _LOG) from error


def describe_models(models: list[ServedModel]) -> str:
    """Name the models of a list, for a message."""
    names = [model.name for model in models[:_SHOWN]]
    more = f" and {len(models) - _SHOWN:,} more" if len(models) > _SHOWN else ""
    return ", ".join(names) + more if names else "no model"


_SHOWN = 5
