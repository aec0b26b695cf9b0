"""`finops schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import kb_dir_of

Name = Annotated[
    Literal["fail", "triage", "resolver-input", "resolution", "run", "mapping", "recipe"],
    typer.Argument(
        metavar="NAME",
        help=(
            "\b\n"
            "fail:           input of run and triage\n"
            "triage:         answer of stage 1\n"
            "resolver-input: input of resolve (a case)\n"
            "resolution:     answer of stage 2\n"
            "run:            output line of run\n"
            "mapping:        file of import csv --map\n"
            "recipe:         file of train --config\n\n"
            "Object or file to describe."
        ),
        show_default=False,
    ),
]


@show_examples(
    "finops schema fail",
    "finops schema mapping",
)
def schema(context: typer.Context, name: Name) -> None:
    """Print the JSON Schema of an input, an output or a file."""
    import json

    typer.echo(json.dumps(_schema_of(name, kb_dir_of(context)), indent=2))


def _schema_of(name: str, kb_dir: Path) -> dict[str, Any]:
    from finops_cli.verify.codecs import CODECS, TRIAGE, triage_codec

    if name == TRIAGE.name:
        from finops_cli.kb.load import load_kb

        return triage_codec(load_kb(kb_dir).scoring.components).json_schema

    if name in CODECS:
        return CODECS[name].json_schema
    if name == "run":
        from finops_cli.pipeline.output import Line
        from finops_cli.verify.schemas import schema_of

        return schema_of("run", Line, (), {})
    if name == "recipe":
        from finops_cli.training.recipe import config_schema

        return config_schema()
    from finops_cli.files.user_files import json_schema
    from finops_cli.importers.mapped_rows.mapping import Mapping

    return json_schema(Mapping)
