"""The model files that ship with finops, at a glance, as the models of a server are told."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from finops_cli import __version__
from finops_cli.models.gguf import read_head
from finops_cli.models.llama_cpp.gguf import hashed
from finops_cli.models.ollama.inventory import Listed, Server
from finops_cli.models.protocol import ModelStage
from finops_cli.models.shipped import model_files


def shipped_models() -> Server | None:
    """What ships; None where nothing does. Raises NotGguf for a file that is damaged."""
    models = [_listed(stage, path) for stage, path in model_files(get_args(ModelStage)).items()]
    return Server(None, __version__, models) if models else None


def _listed(stage: ModelStage, path: Path) -> Listed:
    head = read_head(path)
    architecture = str(head.pairs.get("general.architecture"))
    return Listed(
        name=path.name,
        stage=stage,
        architecture=architecture,
        quantization=max(
            head.kinds, key=lambda kind: (kind != "F32", head.kinds[kind]), default=None
        ),
        size_bytes=path.stat().st_size,
        context_length=head.pairs.get(f"{architecture}.context_length"),
        loaded=False,
        gpu_pct=None,
        digest=hashed(path)[0],
        remote_host=None,
    )
