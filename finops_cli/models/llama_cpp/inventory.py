"""The model files that are bundled with finops, listed like the models of a server."""

from __future__ import annotations

from pathlib import Path

from finops_cli.domain.stage_names import STAGE_NAMES, StageName
from finops_cli.files.digests import sha256_of_file
from finops_cli.models.bundled import model_files
from finops_cli.models.gguf import read_head
from finops_cli.models.listing import ListedModel, ModelSource
from finops_cli.version import __version__


def bundled_models() -> ModelSource | None:
    """List the bundled model files; None if the wheel has none.

    Raises NotGguf for a damaged file.
    """
    models = [_listed(stage, path) for stage, path in model_files(STAGE_NAMES).items()]
    return ModelSource(None, __version__, models) if models else None


def _listed(stage: StageName, path: Path) -> ListedModel:
    head = read_head(path)
    architecture = str(head.pairs.get("general.architecture"))
    return ListedModel(
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
        digest=sha256_of_file(path)[0],
        remote_host=None,
    )
