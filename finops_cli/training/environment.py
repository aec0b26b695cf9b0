"""Prepare the process before a package of the extra `train` is imported: offline, and quiet."""

from __future__ import annotations

import os
import warnings

from finops_cli.errors import MissingPiece
from finops_cli.training.versions import TrainerName

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DATASETS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "UNSLOTH_AUTO_INSTALL": "0",  # its exporter would call apt-get
    "UNSLOTH_DISABLE_STATISTICS": "1",
}


def go_offline_and_quiet(trainer: TrainerName = "hf") -> None:
    """Set the variables that the packages read on import: no network, no progress bars.

    Unsloth patches transformers, TRL and PEFT, so it is imported here, before them. Raises
    MissingPiece if that fails.
    """
    os.environ.update(_ENVIRONMENT)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft|trl|torch")
    if trainer == "unsloth":
        try:
            import unsloth  # noqa: F401 - importing it patches other packages
        except (ImportError, NotImplementedError, RuntimeError) as error:
            # it raises the last two where it finds no GPU
            raise MissingPiece(
                f"--trainer unsloth: Unsloth does not start here ({error})", "omit --trainer"
            ) from error
