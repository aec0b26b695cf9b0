"""Create a stage's model on an Ollama server.

Check the request, send the files that the server lacks, let the server create the model, and read
the result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.stage_names import STAGE_NAMES, StageName
from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.files.model_manifest import refuse_changed_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.ollama import api, uploads
from finops_cli.models.ollama.create_request import (
    CreateOptions,
    CreatePlan,
    plan,
    refuse_unusable,
    refuse_unusable_files,
    request,
)
from finops_cli.models.ollama.trial import Trial
from finops_cli.models.ollama.versions import known, refuse_too_old
from finops_cli.models.ollama_options import Value

if TYPE_CHECKING:
    import httpx

_COPIES = 2
"""Number of copies of a file on the server: since 0.30 Ollama keeps the original and a checked
copy.
"""


class Callbacks(NamedTuple):
    """Functions that receive progress: messages, warnings and steps."""

    on_message: Callable[[str], None]
    on_warning: Callable[[str], None]
    on_step: uploads.OnStep


class SentFile(Struct, frozen=True):
    """A file of the model, with the digest and size of the file itself."""

    file: str
    file_sha256: str
    bytes: int


class Created(Struct, frozen=True, kw_only=True):
    """A model that the server has created."""

    model: str
    host: str
    ollama: str
    model_digest: str
    """The server's digest. Since Ollama 0.30 it differs from the digest of the file."""
    base: str | None
    file: str | None
    file_sha256: str | None
    bytes: int
    more_files: list[SentFile]
    parameters: dict[str, Value]
    trial: Trial | None = None
    """How the model answered its first record; None if it was not asked."""


def default_names(kb: KnowledgeBase) -> dict[StageName, str]:
    """Return the default name of each stage's model."""
    return {stage: kb.models.models.get(stage, f"finops-{stage}") for stage in STAGE_NAMES}


def preview(options: CreateOptions, callbacks: Callbacks) -> dict[str, object]:
    """Build the request that `create_model` would send, with the digests of the files that exist.

    It contacts no server. Raises UsageError for a file that is not a whole GGUF file, or not the
    one that the manifest beside it records.
    """
    planned = plan(options)
    refuse_unusable_files(planned)
    return request(planned, _digests(planned, callbacks))


def create_model(options: CreateOptions, url: str, callbacks: Callbacks) -> Created:
    """Create the model of `options` on the server at `url`.

    Raises MissingPiece (no file, no server, a server that is too old), UsageError (an unusable
    Modelfile or file) and Unfinished (the server failed, or stopped before it confirmed the model).
    """
    planned = plan(options)
    refuse_unusable(planned, options)
    version = _check_version(url, callbacks)
    if planned.base is not None:
        _refuse_unusable_base(url, planned.base)
    _announce_disk_space(planned, callbacks)
    digests = _digests(planned, callbacks)
    with api.translate_errors(url), uploads.connect(url) as client:
        sent = [_send(client, path, digest, callbacks) for path, digest in digests.items()]
        uploads.create_model(
            client, exact_json.encode(request(planned, digests)), callbacks.on_step
        )
    return _created(planned, url, version, sent)


def _digests(planned: CreatePlan, callbacks: Callbacks) -> dict[Path, str]:
    """Compute the digest of each file, and compare it with the manifests beside it."""
    digests = {path: uploads.sha256_of(path, callbacks.on_step) for path in _paths(planned)}
    for path, digest in digests.items():
        refuse_changed_file(path, digest.removeprefix("sha256:"), callbacks.on_warning)
    return digests


def _send(client: httpx.Client, path: Path, digest: str, callbacks: Callbacks) -> SentFile:
    """Send the file at `path` unless the server has it."""
    if uploads.has_blob(client, digest):
        callbacks.on_message(f"{path.name} is on the server already")
    else:
        uploads.send_blob(client, digest, path, callbacks.on_step)
    return SentFile(str(path), digest.removeprefix("sha256:"), path.stat().st_size)


def _check_version(url: str, callbacks: Callbacks) -> str:
    version = api.version(url)
    refuse_too_old(version)
    if not known(version):
        callbacks.on_warning(
            f"{url} says it is Ollama {version}, a build from source: its age is unknown"
        )
    return version


def _refuse_unusable_base(url: str, base: str) -> None:
    """Raise an error for a base that the server lacks or only forwards to a cloud.

    Ollama would download a missing base from the internet, and would accept a forwarded one.
    """
    found = api.card(url, base)
    if found is None:
        raise MissingPiece(
            f"FROM {base}: {url} has no such model",
            f"fetch it with `ollama pull {base}`, or name a file: --gguf FILE",
        )
    if found.remote_host:
        raise UsageError(
            f"FROM {base}: it runs at {found.remote_host}, and fail records must stay in your"
            " network",
            "name a local model",
        )


def _announce_disk_space(planned: CreatePlan, callbacks: Callbacks) -> None:
    from rich.filesize import decimal

    size = sum(path.stat().st_size for path in _paths(planned))
    if size:
        callbacks.on_message(
            f"needs up to {decimal(_COPIES * size)} on the server's disk: the files"
            f" ({decimal(size)}) and a copy that Ollama makes"
        )


def _created(planned: CreatePlan, url: str, version: str, sent: list[SentFile]) -> Created:
    card = api.card(url, planned.model)
    if card is None:
        raise Unfinished(
            f"{url} reported that {planned.model} was created, but does not have it",
            "see the server's log, then try again",
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
    """List the files that exist, each once."""
    return list(dict.fromkeys(file.path for file in planned.files if file.path is not None))
