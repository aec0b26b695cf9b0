"""An importer from outside the package: it reads its own format, and `admit` checks each record."""

from __future__ import annotations

import json
from collections.abc import Iterator

from finops_cli.domain.finding import Damage
from finops_cli.files.seen_ids import SeenIds
from finops_cli.importers.stream import FileRead, Item, admit
from finops_cli.pipeline.parse import parse_fail_line
from tests.support.records import a_fail

LEDGER = "F-1|100\nF-2|0\nF-1|300\nF-2|400\n"


def import_ledger(text: str) -> Iterator[Item]:
    """Yield the records of a format with a name and a quantity in each line."""
    lines = text.splitlines()
    with SeenIds() as seen:
        for number, line in enumerate(lines, start=1):
            name, qty = line.split("|")
            yield admit(a_fail(fail_id=name, qty=int(qty)), "ledger.txt", number, seen)
    yield FileRead("ledger.txt", len(lines))


def test_new_importer_admits_what_a_run_accepts() -> None:
    """A record that `finops run` would refuse is a Damage: one that is not valid, and one that
    repeats the name of an admitted record. The name of a damaged record stays free.
    """
    first, damaged, repeated, last, end = import_ledger(LEDGER)
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert parse_fail_line(first).value is not None
    assert (json.loads(last)["fail_id"], json.loads(last)["qty"]) == ("F-2", 400)
    assert isinstance(damaged, Damage)
    assert [problem.path for problem in damaged.problems] == ["/qty"]
    assert isinstance(repeated, Damage)
    assert [problem.rule for problem in repeated.problems] == ["input.duplicate"]
    assert repeated.line == 3
    assert end == FileRead("ledger.txt", 4)
