"""A server and its models, as `finops models` lists them."""

from __future__ import annotations

from msgspec import Struct


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model of the server. Null: the server does not tell."""

    name: str
    stage: str | None
    architecture: str | None
    quantization: str | None
    size_bytes: int | None
    context_length: int | None
    """In tokens."""
    loaded: bool | None
    gpu_pct: int | None
    """Percentage of the model in GPU memory; null if it is not loaded."""
    digest: str | None
    remote_host: str | None
    """The cloud host that answers for this model. Fail records must not be sent there."""


class ModelSource(Struct, frozen=True):
    """A place with models: an Ollama server, or finops itself."""

    host: str | None
    """Null: bundled with finops, for --backend llama-cpp."""
    version: str | None
    models: list[ListedModel]
    program: str = "Ollama"
