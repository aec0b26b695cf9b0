"""`finops show --format html`: the page of one pool of a plan of the whole book."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.domain.inventory_lines import InventoryLine
    from finops_cli.views.fail_page.search import Search
    from finops_cli.views.pool_page.pool import PoolFail

Inventory = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        metavar="FILE",
        help="The inventory file of the book, for --format html: the page then shows what each"
        " source has, and what is not used.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="The proof of the book, for --format html: the page then says which shares would"
        " clear which fail.",
    ),
]
_CLEARS = 5
"""Sentences of a certificate that a page shows."""


def read_queue(path: Path, cusip: str) -> list[PoolFail]:
    """Read the fails that draw on a security from an output of finops book."""
    from finops_cli.files.line_files import reading_lines
    from finops_cli.views.pool_page.pool import read_pool_fails

    with reading_lines(path) as file:
        return read_pool_fails(file, cusip)


def find_pool(search: Search, source: str) -> str:
    """Return the security whose pool a name means. Raises UsageError where it means none."""
    from finops_cli.domain.exact_json import UNREADABLE
    from finops_cli.views.fail_page.line import read_fail_line

    for found in search.named or search.of_security:
        try:
            place = read_fail_line(found.line).book
        except UNREADABLE:
            continue
        if place is not None:
            return place.cusip
    raise UsageError(
        f"{source}: {search.name} draws on no pool",
        "give an output of finops book, and a fail of it that has an allotment, or its CUSIP",
    )


def write_pool_page(
    path: Path,
    cusip: str,
    output: Path | None,
    *,
    overwrite: bool,
    inventory: Path | None,
    certificate: Path | None,
) -> None:
    """Write the page of the pool of a security."""
    from finops_cli.files.safe_io import writing_whole
    from finops_cli.views.pool_page.page import render_pool_page
    from finops_cli.views.pool_page.pool import make_pool

    lines, true_at = _read_inventory(inventory, cusip)
    pool = make_pool(cusip, read_queue(path, cusip), lines)
    page = render_pool_page(pool, _read_clears(certificate, cusip), true_at)
    with writing_whole(output, [path, inventory, certificate], overwrite) as file:
        file.write(page.encode())


def _read_inventory(path: Path | None, cusip: str) -> tuple[list[InventoryLine] | None, str | None]:
    from finops_cli.domain.finding import Problem
    from finops_cli.importers.joins.inventory_file import InventoryFile

    if path is None:
        return None, None
    with ExitStack() as stack:
        inventory = InventoryFile(path)
        stack.callback(inventory.close)
        lines = inventory.find_lines(cusip)
        if isinstance(lines, Problem):
            raise UsageError(lines.message, "correct the line, and plan the book again")
        snapshot = inventory.snapshot
        return lines, None if snapshot is None else snapshot.as_of


def _read_clears(path: Path | None, cusip: str) -> list[str]:
    """Read the sentences of a certificate about one security."""
    import msgspec

    from finops_cli.book.certificates import PoolCertificate
    from finops_cli.domain.exact_json import UNREADABLE
    from finops_cli.files.line_files import reading_lines

    if path is None:
        return []
    wanted = f'{{"cusip":"{cusip}"'.encode()
    with reading_lines(path) as file:
        for line in file:
            if line.startswith(wanted):
                try:
                    made = msgspec.json.decode(line, type=PoolCertificate)
                except UNREADABLE as error:
                    raise UsageError(
                        f"{path}: {error}", "give the proof of finops book --certificate"
                    ) from error
                return [each.says for each in (*made.clears, *made.in_time)][:_CLEARS]
    raise UsageError(f"{path}: has no proof for {cusip}", "give the proof of the same book")
