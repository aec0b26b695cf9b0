"""The option --stage, as every command has it that works on the model of one stage."""

from __future__ import annotations

from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.stage_names import STAGE_NAMES

STAGE_METAVAR = f"[{'|'.join(STAGE_NAMES)}]"


def check_stage(name: str | None) -> str | None:
    """Check a value of --stage against the table of stages, which is loaded only here.

    Raises BadChoice naming the value and the stages that there are.
    """
    from finops_cli.datasets.stages import STAGES

    if name is not None and name not in STAGES:
        raise BadChoice(name, list(STAGES))
    return name


def complete_stage(incomplete: str) -> list[str]:
    """The names that a shell offers."""
    return [name for name in STAGE_NAMES if name.startswith(incomplete)]
