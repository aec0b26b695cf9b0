"""`finops serve backup`, `gc` and `verify-audit`: the data of a service, from outside it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.serve_options import Store
from finops_cli.errors import UsageError

_DATA = Path("finops-data")
DataOfService = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder of the service's data.")
]
Target = Annotated[Path, typer.Argument(metavar="COPY", help="New folder for the copy.")]
Heads = Annotated[
    Path | None,
    typer.Option(
        "--heads",
        metavar="FILE",
        help="Hashes that were kept elsewhere: a copy of audit-heads.jsonl. They show an end that"
        " was cut off.",
    ),
]
_NEEDS = "the data of a service"


@show_examples(
    Example("finops serve backup copy", needs=_NEEDS),
    Example("finops serve backup --data /srv/finops /backup/monday", needs=_NEEDS),
)
def backup(target: Target, data: DataOfService = _DATA) -> None:
    """Copy the data of a service, also while it runs.

    The copy is a folder of data: `finops serve --data COPY` goes on from it.
    """
    from finops_cli.service.store.backup import back_up

    done = back_up(data, target)
    typer.echo(f"backup       {target}")
    typer.echo(f"files        {done.files:,}, {done.bytes:,} bytes")
    typer.echo(f"audit        {done.entries:,} entries, unbroken")


@show_examples(
    Example("finops serve verify-audit", needs=_NEEDS),
    Example("finops serve verify-audit --heads audit-heads.jsonl", needs=_NEEDS),
)
def verify_audit(data: DataOfService = _DATA, heads: Heads = None, store: Store = None) -> None:
    """Check the chain of the audit log, also while the service runs.

    Each entry has the hash of the one before it. The log shows tampering; it cannot prevent it.
    """
    from finops_cli.service.store.audit import BrokenChain, verify
    from finops_cli.service.store.heads import last_entry, read_heads
    from finops_cli.service.store.opening import address_of, snapshot

    known = None if heads is None else read_heads(heads)
    with snapshot(address_of(data, store)) as connection:
        found, last = verify(connection, known), last_entry(connection)
    if isinstance(found, BrokenChain):
        typer.echo(f"audit        entry {found.seq:,} {found.reason}")
        raise typer.Exit(1)
    typer.echo(f"audit        {found:,} entries, unbroken")
    if last is not None:
        typer.echo(f"head         {last[0]:,} {last[1]}")


@show_examples(
    Example("finops serve gc --dry-run", needs=_NEEDS),
    Example("finops serve gc --keep-days 30", needs=_NEEDS),
)
def gc(
    data: DataOfService = _DATA,
    keep_days: Annotated[
        int | None,
        typer.Option(
            "--keep-days",
            min=0,
            max=36500,
            metavar="N",
            help="Days that files and outputs are kept; 0: only what nobody owns goes (default:"
            " 90).",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
) -> None:
    """Delete old files and outputs of a service that does not run.

    A running service deletes them itself (--keep-days). Decisions and the audit log stay.
    """
    from finops_cli.kb.load import bundled_kb_dir, load_kb
    from finops_cli.service.store.backup import find_database
    from finops_cli.service.store.opening import snapshot
    from finops_cli.service.store.retention import delete_old, find_old
    from finops_cli.service.store.sqlite import SqliteDatabase

    now = datetime.now(UTC)
    default = load_kb(bundled_kb_dir()).serve.limits["keep_days"]
    days = default if keep_days is None else keep_days
    before = now - timedelta(days=days) if days else None
    with snapshot(str(find_database(data))) as connection:
        old = find_old(connection, data, before)
        size = old.bytes(data)
    if not dry_run:
        try:
            with closing(SqliteDatabase(data)) as database:
                delete_old(database, data, old, now)
        except UsageError as error:
            raise UsageError(
                str(error), "stop the service, or give it --keep-days: it deletes by itself"
            ) from error
    verb = "to delete" if dry_run else "deleted"
    typer.echo(f"{verb:13}{len(old.jobs):,} outputs of jobs, {len(old.files):,} files")
    typer.echo(f"{'strays':13}{len(old.strays):,}")
    typer.echo(f"{'bytes':13}{size:,}")
