"""Send one request to `/v1/completions` or `/v1/chat/completions`, and read its answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from finops_cli.models import failures
from finops_cli.models.openai.api_key import CURE, ApiKey
from finops_cli.models.openai.stream import STREAM_BYTES, OpenAIReader
from finops_cli.models.servers.answers import Generated, Patience, read_error, refusal
from finops_cli.models.servers.exchange import Stream, exchange

if TYPE_CHECKING:
    import httpx

_NO_ENTRY = (401, 403)
_MODEL_CURE = "start the model on that server again, or name another: --STAGE-model NAME"
_SERVER_CURE = "start the server, or name another with --host URL"


def send(
    client: httpx.Client, path: str, body: dict[str, Any], patience: Patience, key: ApiKey
) -> Generated:
    """Send `body` and read the complete answer. The key is in neither an answer nor a failure.

    Raises a `failures.ModelError` and closes the connection.
    """
    try:
        generated = exchange(client, body, patience, _open_stream(path, key))
    except failures.ModelError as failure:
        failure.detail, failure.received = key.scrub(failure.detail), key.scrub(failure.received)
        failure.args = (failure.detail,)
        if isinstance(failure, failures.Unreachable):
            failure.cure = _SERVER_CURE
        elif isinstance(failure, failures.ModelMissing):
            failure.cure = _MODEL_CURE
        # what lies behind it, such as an excerpt of what came, is not shown to anybody
        raise failure from None
    return generated._replace(text=key.scrub(generated.text))


def _open_stream(path: str, key: ApiKey) -> Stream:
    """Return the streams of a path. The key is taken out of a text before the text is cut."""
    return Stream(
        path=path,
        most_bytes=STREAM_BYTES,
        refusal_of=partial(_refuse, key),
        open_reader=partial(OpenAIReader, key.scrub),
    )


def _refuse(key: ApiKey, response: httpx.Response) -> failures.ModelError:
    """Return the failure for an HTTP status other than 200."""
    detail = read_error(response, key.scrub)
    if response.status_code in _NO_ENTRY:
        failure = failures.Unauthorized(f"HTTP {response.status_code}: {detail}")
        failure.cure = CURE
        return failure
    found = refusal(response.status_code, detail)
    if isinstance(found, failures.Busy):
        found.retry_after = _read_seconds(response.headers.get("retry-after", ""))
    return found


def _read_seconds(text: str) -> float | None:
    """Return the seconds of Retry-After; None for a date, which needs the server's clock."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
