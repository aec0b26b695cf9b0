"""`finops token`: the tokens of `finops serve`, in a file or in the database of replicas."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from finops_cli.commands.attribution import name_user
from finops_cli.commands.help_examples import (
    CommandWithExamples,
    Example,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.options import is_typed
from finops_cli.commands.serve_options import store_option
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.service.auth.tokens import TokenOwner
    from finops_cli.service.store.audit import Actor
    from finops_cli.service.store.database import Work

T = TypeVar("T")
_NEEDS = "a database of PostgreSQL"
_STORE = "--store postgresql://desk@db/finops"
_IN_FILE = "finops token new --name anna --role analyst --days 90 -o tokens.toml"
_IN_STORE = Example(f"finops token new --name anna --role admin {_STORE}", needs=_NEEDS)
Store = Annotated[str | None, store_option("replicas", "FINOPS_STORE")]
Person = Annotated[
    str | None,
    typer.Option(
        "--person",
        metavar="PERSON",
        help="Who holds the token, for a further token of one person and for a program"
        " (default: the name). With `finops serve --four-eyes` nobody accepts an override of"
        " the same person.",
    ),
]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the token's owner.")]
app = typer.Typer(cls=GroupWithExamples, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
@show_examples(_IN_FILE, _IN_STORE)
def token() -> None:
    """Make, list and revoke tokens for `finops serve`."""


@app.command(cls=CommandWithExamples)
@show_examples(_IN_FILE, _IN_STORE)
def new(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Person or program, as decisions and the audit log say."
        ),
    ],
    role: Annotated[
        Literal["reader", "analyst", "operator", "auditor", "admin"],
        typer.Option(
            "--role",
            metavar="ROLE",
            help="What the token may do:\n\n\b\n"
            "reader:   see answers and rules\n"
            "analyst:  also send records and decide\n"
            "operator: also files, jobs and models\n"
            "auditor:  see, and read the audit log\n"
            "admin:    everything",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="File of tokens; it is extended."),
    ] = None,
    store: Store = None,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=3650, metavar="N", help="Days until it expires."),
    ] = None,
    person: Person = None,
) -> None:
    """Make a token, print it once, and add its digest to a file or to the database of replicas."""
    from finops_cli.service.auth.tokens import make_token, new_owner, utc_now

    if output is not None and is_typed(context, "store"):
        raise UsageError("-o and --store: a token is in one place", "give one of the two")
    made = make_token()
    owner = new_owner(made, name, role, utc_now(), days, person)
    if output is not None:
        _add_to_file(output, owner)
    else:
        _add_to_store(store, owner)
    typer.echo(made)


@app.command("list", cls=CommandWithExamples)
@show_examples(
    Example(f"finops token list {_STORE}", needs=_NEEDS),
    Example("finops token list", needs=f"{_NEEDS} in FINOPS_STORE"),
)
def list_tokens(store: Store = None) -> None:
    """List the tokens in the database of replicas: name, role, person and moment of expiry."""
    from finops_cli.service.auth.stored_tokens import list_owners

    owners = _work(store, list_owners)
    width = max((len(owner.name) for owner in owners), default=0)
    for owner in owners:
        held = "" if owner.person is None else f"  held by {owner.person}"
        until = "" if owner.expires is None else f"  until {owner.expires.isoformat()}"
        typer.echo(f"{owner.name:{width}}  {owner.role:8}{held}{until}".rstrip())


@app.command(cls=CommandWithExamples)
@show_examples(
    Example(f"finops token revoke anna {_STORE}", needs=_NEEDS),
    Example("finops token revoke nightly", needs=f"{_NEEDS} in FINOPS_STORE"),
)
def revoke(name: TokenName, store: Store = None) -> None:
    """Delete a token from the database of replicas, and end its sessions."""
    from finops_cli.service.auth import stored_tokens
    from finops_cli.service.auth.tokens import KNOWN_SECONDS, utc_now

    _work(store, lambda db: stored_tokens.revoke(db, name, _actor(), utc_now()))
    typer.echo(f"revoked      {name}; every replica refuses it within {KNOWN_SECONDS} seconds")


@app.command("import", cls=CommandWithExamples)
@show_examples(
    Example(f"finops token import tokens.toml {_STORE}", needs=_NEEDS),
    Example("finops token import old/tokens.toml", needs=f"{_NEEDS} in FINOPS_STORE"),
)
def import_tokens(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of `finops token new`.")],
    store: Store = None,
) -> None:
    """Add the tokens of a file to the database of replicas. They stay valid, with their roles."""
    from finops_cli.service.auth.stored_tokens import import_owners
    from finops_cli.service.auth.tokens import read_owners, utc_now

    owners = read_owners(file)
    found = _work(store, lambda db: import_owners(db, owners, _actor(), utc_now()))
    typer.echo(f"added        {len(found.added):,}")
    typer.echo(f"known        {len(found.known):,}")


def _add_to_file(path: Path, owner: TokenOwner) -> None:
    """Append a token to a file. Raises UsageError for a name that the file has already."""
    from finops_cli.service.auth.tokens import name_key, read_owners, token_entry

    key = name_key(owner.name)
    known = read_owners(path) if path.exists() else []
    taken = next((each.name for each in known if name_key(each.name) == key), None)
    if taken is not None:
        raise UsageError(
            f"--name {owner.name}: {path} has the name {taken} already", "choose another name"
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(token_entry(owner))


def _add_to_store(store: str | None, owner: TokenOwner) -> None:
    from finops_cli.service.auth.stored_tokens import add_owner
    from finops_cli.service.auth.tokens import utc_now

    _work(store, lambda db: add_owner(db, owner, _actor(), utc_now()))


def _actor() -> Actor:
    """Return the user of this machine, for the audit log."""
    from finops_cli.service.store.audit import Actor

    return Actor(name_user(), "", "")


def _work(store: str | None, work: Work[T]) -> T:
    """Change or read the database at `store`. Raises UsageError and MissingPiece."""
    from finops_cli.service.store.opening import open_database

    if store is None:
        raise UsageError(
            "no place for tokens was given",
            "give -o FILE to `finops token new`, or --store ADDRESS for a database of replicas",
        )
    with closing(open_database(Path(), store)) as database:
        return database.write_now(work)
