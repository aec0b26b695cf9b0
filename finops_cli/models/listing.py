"""One server at a glance: its version and its models, with the stage that each serves and whether
it is loaded."""

from __future__ import annotations

from msgspec import Struct


class ListedModel(Struct, frozen=True):
    """A model of the server. `context_length` in tokens; `gpu_pct` is the share in GPU memory, null
    while it is not loaded.

    A model with a `remote_host` is answered for by a cloud: fail records may not go there.
    """

    name: str
    stage: str | None
    architecture: str | None
    quantization: str | None
    size_bytes: int
    context_length: int | None
    loaded: bool
    gpu_pct: int | None
    digest: str
    remote_host: str | None


class ModelSource(Struct, frozen=True):
    """Where models are: an Ollama server; `host` null: with finops itself, for --backend
    llama-cpp.
    """

    host: str | None
    version: str
    models: list[ListedModel]
