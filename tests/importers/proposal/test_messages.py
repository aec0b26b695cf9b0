"""Messages of a proposal: unknown columns with their cells, doubts that name both columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finops_cli.importers.proposal.proposal import Proposal, propose
from finops_cli.kb.rulebook import KnowledgeBase
from tests.importers.proposal.test_doubts import BASE
from tests.support.program import Finops
from tests.support.tables import RowsTable

EXPORTS = Path(__file__).parents[1] / "exports"


def _propose(kb: KnowledgeBase, *columns: tuple[str, Sequence[str]]) -> Proposal:
    """Propose for the base table with further columns, whose headers may repeat."""
    given = [*BASE.items(), *columns]
    rows = [[name for name, _ in given], *zip(*(cells for _, cells in given), strict=True)]
    return propose(RowsTable(rows), kb)


def test_unknown_column_shows_its_cells(kb: KnowledgeBase) -> None:
    """A header that finops does not know is listed with values of its cells."""
    proposal = _propose(kb, ("Zzyzx", ("red", "blue", "red", "")))
    [unused] = proposal.unused
    assert unused.why == "finops does not know this header; cells such as 'red', 'blue'"


def test_eligible_column_of_venues_gives_the_direction(kb: KnowledgeBase) -> None:
    """`Elig` with CNS and DVP says which fails are in CNS."""
    proposal = _propose(kb, ("Elig", ("CNS", "DVP", "CNS", "DVP")))
    assert {"cns_direction", "venue"} <= proposal.mapping.columns.keys()


def test_doubt_names_the_header_of_a_numbered_column(kb: KnowledgeBase) -> None:
    """A repeated header is named with its place, and the doubt names both columns."""
    proposal = _propose(kb, ("Fail Qty", ("1", "2", "3", "4")))
    [check] = [check for check in proposal.checks if check.startswith("qty: ")]
    columns = "column '#9' (header 'Fail Qty') has other numbers than '#3' (header 'Fail Qty')"
    assert check == f"qty: {columns}: which is right?"


def test_moment_that_was_given_is_not_missing(finops: Finops) -> None:
    """With --as-of, the proposal does not ask for the day of the data."""
    for command in (("import", "csv"), ("run",)):
        asked, given = (
            finops(*command, EXPORTS / "prime-broker.csv", *more)
            for more in ((), ("--as-of", "2026-11-25"))
        )
        assert b"MISSING clock_facts.as_of" in asked.stdout + asked.stderr
        assert b"MISSING clock_facts.as_of" not in given.stdout + given.stderr
