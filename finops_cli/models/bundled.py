"""The Modelfiles and the small models that are bundled with finops.

A model may be trained for the prompt of one of the Modelfiles. Its GGUF file then names the
Modelfile (`finops.modelfile`), which defines the prompt wherever the model runs. Other models get
the prompt of their stage's Modelfile.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.models.gguf import NotGguf, gguf_pairs
from finops_cli.models.modelfile import Modelfile, read_modelfile

MADE_FOR = "finops.modelfile"
"""The key of a GGUF file whose value is the name of a Modelfile.

Ollama shows it in `model_info`.
"""
_ENDING = ".Modelfile"


def modelfile(name: str) -> Modelfile:
    """Read the bundled Modelfile `name` (triage, tiny-triage ...).

    Raises UsageError as `read_modelfile` does.
    """
    return read_modelfile(bundled_dir("modelfiles") / f"{name}{_ENDING}")


def list_modelfiles(stage: str) -> list[str]:
    """List the Modelfiles for models of `stage`: its own, and those whose names end with it."""
    names = [
        path.name.removesuffix(_ENDING) for path in bundled_dir("modelfiles").glob(f"*{_ENDING}")
    ]
    return sorted(name for name in names if name == stage or name.endswith(f"-{stage}"))


def model_files(stages: Iterable[StageName]) -> dict[StageName, Path]:
    """Return the bundled model files of `stages`. A stage may have none."""
    files: dict[StageName, Path] = {
        stage: bundled_dir("bundled_models") / f"tiny-{stage}.gguf" for stage in stages
    }
    return {stage: path for stage, path in files.items() if path.is_file()}


def find_prompt_modelfile(stage: str, declared: object, place: object) -> str:
    """Find the name of the Modelfile for the model at `place`, which declares `declared`.

    Raises UsageError for a name that does not belong to this stage.
    """
    if declared is None:
        return stage
    accepted = list_modelfiles(stage)
    if not isinstance(declared, str) or declared not in accepted:
        raise UsageError(
            f"{place}: is trained for the Modelfile {declared!r} ({MADE_FOR}), which is not one of"
            f" stage {stage}; accepted: {', '.join(accepted)}",
            "use another model, or the version of finops that made this one",
        )
    return declared


def read_prompt_modelfile(stage: str, path: Path) -> str:
    """Read the name of the Modelfile from a model file.

    An unreadable file gives the stage's own Modelfile; loading it will report the error.
    """
    try:
        declared = next((value for name, value in gguf_pairs(path) if name == MADE_FOR), None)
    except NotGguf:
        declared = None
    return find_prompt_modelfile(stage, declared, path)
