"""The options of `finops serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from finops_cli.domain.enums import GuardMode

Host = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on (default: 127.0.0.1)."),
]
Port = Annotated[
    int,
    typer.Option(
        "--port", min=0, max=65535, metavar="N", help="Port to listen on; 0 takes a free one."
    ),
]
UnixSocket = Annotated[
    Path | None,
    typer.Option("--uds", metavar="PATH", help="Unix socket to listen on, in place of a port."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the service's data (default: finops-data in this folder).",
    ),
]


def store_option(database: str, default: str) -> Any:
    """Return the option --store of a command; the two texts say what it names, and else takes."""
    return typer.Option(
        "--store",
        metavar="ADDRESS",
        envvar="FINOPS_STORE",
        show_envvar=False,
        help=f"PostgreSQL database of {database}, such as postgresql://finops@db.example/finops"
        f" (default: {default}). libpq finds the password in ~/.pgpass or PGPASSWORD.",
    )


Store = Annotated[
    str | None,
    store_option("the service", "FINOPS_STORE, else SQLite in the folder of --data"),
]
Tokens = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        help="File of tokens that `finops token new` makes (default: the tokens in the database of"
        " --store, else one token for this start).",
    ),
]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST",
        help="Further value of the header Host, such as desk.example:443. May be repeated.",
    ),
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate for TLS, as PEM.")
]
Key = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Key of the certificate, as PEM.")
]
BehindProxy = Annotated[
    str | None,
    typer.Option(
        "--behind-proxy",
        metavar="ADDRESS",
        help="Address of a reverse proxy that encrypts, and whose X-Forwarded headers are true.",
    ),
]
ServeGuard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        metavar="POLICY",
        help="Treatment of personal data: require (default), on or off, as for `finops run`.",
    ),
]
ModelHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--model-host",
        metavar="URL",
        help="Server of models, as --host of `finops run`. May be repeated.",
    ),
]


FourEyes = Annotated[
    bool,
    typer.Option(
        "--four-eyes",
        help="Let an override stand only when a second person accepts it (default: at once)."
        " Tokens of one --person of `finops token new` are one person.",
    ),
]


WhenDownOption = Annotated[
    Literal["refuse", "engine"],
    typer.Option(
        "--when-down",
        metavar="POLICY",
        show_default=False,
        help="Answer while no model does (default: refuse).\n\n\b\n"
        "refuse: 503 at once, with Retry-After\n"
        "engine: the rules answer, with status fallback",
    ),
]
KeepDays = Annotated[
    int | None,
    typer.Option(
        "--keep-days",
        min=0,
        max=36500,
        metavar="N",
        help="Days that files and outputs are kept; 0: for ever (default: 90). Decisions and the"
        " audit log stay.",
    ),
]
JobCluster = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Address of a Ray cluster, HOST:PORT or auto, for jobs with the executor ray. Its"
        " machines need the folder of --data at the same path.",
    ),
]
Demo = Annotated[
    bool,
    typer.Option(
        "--demo",
        help="Start on a free port with an example blotter, in a folder that is deleted at the"
        " end.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """Where jobs may run, and how long what they write is kept."""

    keep_days: KeepDays = None
    ray: JobCluster = None
