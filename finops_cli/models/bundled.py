"""The Modelfiles that ship with finops, by name, and the small models that answer where no other
model is at hand.

A model may be made for the prompt of one of them: its GGUF file then says which
(`finops.modelfile`), and that Modelfile says how it is asked, wherever it runs. A model that says
nothing is asked by the Modelfile of its stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.models.gguf import NotGguf, gguf_pairs
from finops_cli.models.modelfile import Modelfile, read_modelfile
from finops_cli.models.protocol import ModelStage

MADE_FOR = "finops.modelfile"
"""The key of a GGUF file whose value names a Modelfile, without its ending; Ollama shows it in
`model_info`.
"""
_ENDING = ".Modelfile"


def modelfile(name: str) -> Modelfile:
    """The Modelfile `name` (triage, tiny-triage ...) that ships.

    Raises UsageError as `read_modelfile` does.
    """
    return read_modelfile(bundled_dir("modelfiles") / f"{name}{_ENDING}")


def list_modelfiles(stage: str) -> list[str]:
    """The names of the Modelfiles for models of `stage`: its own, and those that end in it."""
    names = [
        path.name.removesuffix(_ENDING) for path in bundled_dir("modelfiles").glob(f"*{_ENDING}")
    ]
    return sorted(name for name in names if name == stage or name.endswith(f"-{stage}"))


def model_files(stages: Iterable[ModelStage]) -> dict[ModelStage, Path]:
    """The model files that ship for `stages`, as far as they do."""
    files: dict[ModelStage, Path] = {
        stage: bundled_dir("bundled_models") / f"tiny-{stage}.gguf" for stage in stages
    }
    return {stage: path for stage, path in files.items() if path.is_file()}


def find_prompt_modelfile(stage: str, declared: object, place: object) -> str:
    """Find the name of the Modelfile that the model at `place` is asked by, where it says
    `declared` about itself.

    Raises UsageError for a name that is none of this stage's.
    """
    if declared is None:
        return stage
    accepted = list_modelfiles(stage)
    if not isinstance(declared, str) or declared not in accepted:
        raise UsageError(
            f"{place}: is made for the Modelfile {declared!r} ({MADE_FOR}), which is none of stage"
            f" {stage}; accepted: {', '.join(accepted)}",
            "take another model, or the finops that this one was made with",
        )
    return declared


def read_prompt_modelfile(stage: str, path: Path) -> str:
    """Read from a model file which Modelfile makes its prompts.

    One that cannot be read says nothing: whoever loads it says what is wrong with it.
    """
    try:
        declared = next((value for name, value in gguf_pairs(path) if name == MADE_FOR), None)
    except NotGguf:
        declared = None
    return find_prompt_modelfile(stage, declared, path)
