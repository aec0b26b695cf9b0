"""A server and its models, as `finops models` lists them."""

from __future__ import annotations

from msgspec import Struct


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model of the server."""

    name: str
    stage: str | None
    architecture: str | None
    quantization: str | None
    size_bytes: int
    context_length: int | None
    """In tokens."""
    loaded: bool
    gpu_pct: int | None
    """Percentage of the model in GPU memory; null if it is not loaded."""
    digest: str
    remote_host: str | None
    """The cloud host that answers for this model. Fail records must not be sent there."""


class ModelSource(Struct, frozen=True):
    """A place with models: an Ollama server, or finops itself."""

    host: str | None
    """Null: bundled with finops, for --backend llama-cpp."""
    version: str
    models: list[ListedModel]
