"""`finops schema`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from finops_cli.commands.help_examples import show_examples

Name = Annotated[
    Literal["fail", "triage", "resolver-input", "resolution", "mapping", "recipe"],
    typer.Argument(
        metavar="NAME",
        help=(
            "\b\n"
            "fail:           input of run and triage\n"
            "triage:         answer of stage 1\n"
            "resolver-input: input of resolve (a case)\n"
            "resolution:     answer of stage 2\n"
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
def schema(name: Name) -> None:
    """Print the JSON Schema of an input, an output or a file."""
    import json

    typer.echo(json.dumps(_schema_of(name), indent=2))


def _schema_of(name: str) -> dict[str, Any]:
    from finops_cli.verify.codecs import CODECS

    if name in CODECS:
        return CODECS[name].json_schema
    if name == "recipe":
        from finops_cli.training.recipe import config_schema

        return config_schema()
    from finops_cli.files.user_files import json_schema
    from finops_cli.importers.mapping import Mapping

    return json_schema(Mapping)
