"""`finops schema`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

Name = Annotated[
    Literal["fail", "triage", "resolver-input", "resolution", "mapping", "recipe"],
    typer.Argument(
        help="fail, resolver-input: inputs. triage, resolution: outputs. mapping: the file of"
        " finops import csv --map. recipe: the file of finops train --config.",
        show_default=False,
    ),
]


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
