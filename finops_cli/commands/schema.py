"""`finops schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Name = Annotated[
    Literal["fail", "triage", "resolver-input", "resolution"],
    typer.Argument(help="Which object.", show_default=False),
]


def schema(name: Name) -> None:
    """Print the JSON Schema of an input or an output."""
    import json

    from finops_cli.verify.codecs import CODECS

    typer.echo(json.dumps(CODECS[name].json_schema, indent=2))
