"""Makes a stage's model on an Ollama server: checks, sends what the server lacks, has the model
made, reads back what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.ollama import api, uploads
from finops_cli.models.ollama.create_request import (
    CreateOptions,
    CreatePlan,
    plan,
    refuse_unusable,
    request,
)
from finops_cli.models.ollama.versions import known, refuse_too_old
from finops_cli.models.ollama_options import Value
from finops_cli.models.prompts import Stage

if TYPE_CHECKING:
    import httpx

_COPIES = 2
"""Since 0.30 Ollama keeps the file as it was sent and a checked copy of it."""


class Callbacks(NamedTuple):
    """Who hears of it: `tell` what is about to happen, `warn` what may go wrong, `watch` how far it
    is.
    """

    tell: Callable[[str], None]
    warn: Callable[[str], None]
    watch: uploads.Watch


class Sent(Struct, frozen=True):
    """A file that the model is made of; `file_sha256` is of the file itself, `bytes` its size."""

    file: str
    file_sha256: str
    bytes: int


class Created(Struct, frozen=True, kw_only=True):
    """A model that the server has now.

    `model_digest` is the server's: since Ollama 0.30 it is not that of the file.
    """

    model: str
    host: str
    ollama: str
    model_digest: str
    base: str | None
    file: str | None
    file_sha256: str | None
    bytes: int
    more_files: list[Sent]
    parameters: dict[str, Value]


def default_names(kb: KnowledgeBase) -> dict[Stage, str]:
    """What each stage's model is called where nobody says otherwise."""
    stages: tuple[Stage, ...] = get_args(Stage)
    return {stage: kb.models.models.get(stage, f"finops-{stage}") for stage in stages}


def preview(order: CreateOptions, watch: uploads.Watch) -> dict[str, object]:
    """The request that `create` would send, with the digests of the files that are there.

    No server is asked.
    """
    planned = plan(order)
    return request(planned, {path: uploads.sha256_of(path, watch) for path in _paths(planned)})


def create(order: CreateOptions, url: str, told: Callbacks) -> Created:
    """Make the model of `order` on the server at `url`.

    Raises MissingPiece (no file, no server, a server that is too old), UsageError (a Modelfile or
    file that is no use) and Unfinished (the server failed, or ended without saying that the model
    is made).
    """
    planned = plan(order)
    refuse_unusable(planned, order)
    version = _usable_version(url, told)
    if planned.base is not None:
        _refuse_unusable_base(url, planned.base)
    _tell_room(planned, told)
    with api.translated(url), uploads.connect(url) as client:
        sent = {path: _send(client, path, told) for path in _paths(planned)}
        body = request(planned, {path: f"sha256:{file.file_sha256}" for path, file in sent.items()})
        uploads.make_model(client, exact_json.encode(body), told.watch)
    return _created(planned, url, version, list(sent.values()))


def _send(client: httpx.Client, path: Path, told: Callbacks) -> Sent:
    """See to it that the server has the file at `path`."""
    digest = uploads.sha256_of(path, told.watch)
    if uploads.has_blob(client, digest):
        told.tell(f"{path.name} is on the server already")
    else:
        uploads.send_blob(client, digest, path, told.watch)
    return Sent(str(path), digest.removeprefix("sha256:"), path.stat().st_size)


def _usable_version(url: str, told: Callbacks) -> str:
    version = api.version(url)
    refuse_too_old(version)
    if not known(version):
        told.warn(
            f"{url} says it is Ollama {version}, a build from source: whether it is new enough"
            " cannot be known"
        )
    return version


def _refuse_unusable_base(url: str, base: str) -> None:
    """Ollama would fetch a missing model from the internet by itself, and take one that a cloud
    answers for.
    """
    found = api.card(url, base)
    if found is None:
        raise MissingPiece(
            f"FROM {base}: {url} has no such model; fetch it with `ollama pull {base}`, or name a"
            " file: --gguf FILE"
        )
    if found.remote_host:
        raise UsageError(
            f"FROM {base}: {found.remote_host} answers for it, and fail records may not leave the"
            " house; name a local model"
        )


def _tell_room(planned: CreatePlan, told: Callbacks) -> None:
    from rich.filesize import decimal

    size = sum(path.stat().st_size for path in _paths(planned))
    if size:
        told.tell(
            f"needs up to {decimal(_COPIES * size)} on the server's disk: the files"
            f" ({decimal(size)}) and a copy that Ollama makes"
        )


def _created(planned: CreatePlan, url: str, version: str, sent: list[Sent]) -> Created:
    card = api.card(url, planned.model)
    if card is None:
        raise Unfinished(
            f"{url} says that {planned.model} is made, but does not have it; see the server's log,"
            " then try again"
        )
    first = sent[0] if sent else None
    return Created(
        model=planned.model,
        host=url,
        ollama=version,
        model_digest=card.digest,
        base=planned.base,
        file=first.file if first else None,
        file_sha256=first.file_sha256 if first else None,
        bytes=first.bytes if first else 0,
        more_files=sent[1:],
        parameters=planned.parameters,
    )


def _paths(planned: CreatePlan) -> list[Path]:
    """The files that are there, each once."""
    return list(dict.fromkeys(piece.path for piece in planned.pieces if piece.path is not None))
