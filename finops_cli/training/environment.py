"""Before any package of training is imported: nothing leaves the house, and what is no news to a
user is not printed.
"""

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


def offline_and_quiet(trainer: TrainerName = "hf") -> None:
    """Sets what the packages read when they are imported; the bars of transformers and datasets
    give way to that of finops.

    Unsloth patches transformers, TRL and PEFT, so it is imported here, before anything imports
    them. Raises MissingPiece when that fails.
    """
    os.environ.update(_ENVIRONMENT)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft|trl|torch")
    if trainer == "unsloth":
        try:
            import unsloth  # noqa: F401 - it works by being imported
        except (
            ImportError,
            NotImplementedError,
            RuntimeError,
        ) as error:  # the last two: it finds no GPU
            raise MissingPiece(
                f"--trainer unsloth: Unsloth does not start here ({error})", "leave --trainer out"
            ) from error
