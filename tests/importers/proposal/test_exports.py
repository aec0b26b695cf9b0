"""Exports of ten houses, made up: each reads right as proposed, or finops asks for what is missing.

`exports/NAME.expected.jsonl` has the facts of each row that the file gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain import exact_json
from finops_cli.domain.finding import Damage
from finops_cli.files.recognise import recognise
from finops_cli.files.user_files import read_yaml
from finops_cli.importers.mapped_rows.mapping import Mapping, read_mapping
from finops_cli.importers.mapped_rows.table_records import records_of
from finops_cli.importers.proposal.proposal import Proposal, propose
from finops_cli.importers.tables.csv_table import CsvTable
from finops_cli.kb.rulebook import KnowledgeBase

EXPORTS = Path(__file__).parents[1] / "exports"
ASKED = {
    "bloomberg.csv": (),
    "clearing-cns.csv": ("counterparty",),
    "custodian-eu.csv": (),
    "excel-made.csv": (),
    "feed.tsv": (),
    "isin-only.csv": ("counterparty",),
    "lost-zeros.csv": (),
    "prime-broker.csv": ("clock_facts.as_of",),
    "undecided.csv": ("numbers", "settlement_date"),
    "us-preamble.csv": (),
}
"""The facts that each file does not decide."""
ANSWERS = {
    "counterparty": "DTC-0000",
    "inventory_coverage_pct": "0",
    "clock_facts.as_of": "2026-11-25",
}
REFUSED = {"lost-zeros.csv": 2}
"""Rows whose CUSIP is lost."""


def _open(name: str) -> CsvTable:
    path = EXPORTS / name
    layout = recognise(path).layout
    assert layout is not None
    return CsvTable.of(path, delimiter=layout.delimiter, encoding=layout.encoding)


def _propose(name: str, kb: KnowledgeBase) -> Proposal:
    return propose(_open(name), kb)


@pytest.mark.parametrize("name", ASKED)
def test_export_lacks_exactly_what_it_does_not_decide(name: str, kb: KnowledgeBase) -> None:
    """A proposal asks for each fact that a file leaves open, and for no other."""
    assert sorted(each.name for each in _propose(name, kb).lacks()) == sorted(ASKED[name])


@pytest.mark.parametrize("name", [name for name in ASKED if name != "undecided.csv"])
def test_export_reads_right_with_the_proposed_mapping(name: str, kb: KnowledgeBase) -> None:
    """Every row gives the record that its house means; only a lost CUSIP is refused."""
    mapping = _propose(name, kb).mapping
    constants = {**mapping.constants, **{field: ANSWERS[field] for field in ASKED[name]}}
    mapping = mapping.model_copy(update={"constants": constants})
    table = _open(name)
    if mapping.rows.header is not None:
        table = table.below(mapping.rows.header)
    items = list(records_of(table, mapping, "map.yaml", blanks=kb.imports.blanks))
    records = [exact_json.decode(item) for item in items if isinstance(item, bytes)]
    expected = [
        exact_json.decode(line)
        for line in (EXPORTS / f"{name}.expected.jsonl").read_text().splitlines()
    ]
    refused = [item for item in items if isinstance(item, Damage)]
    assert len(refused) == REFUSED.get(name, 0)
    assert len(records) == len(expected)
    for record, facts in zip(records, expected, strict=True):
        box = facts.pop("box", None)
        if box is not None:
            facts["inventory"] = {"box_qty": box}
        assert _pick(record, facts) == facts


def _pick(record: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a record of which the facts speak."""
    return {
        name: _pick(record.get(name) or {}, fact) if isinstance(fact, dict) else record.get(name)
        for name, fact in facts.items()
    }


@pytest.mark.parametrize("name", ASKED)
def test_saved_proposal_reads_back_as_its_mapping(
    name: str, kb: KnowledgeBase, tmp_path: Path
) -> None:
    """The YAML, saved as it is, is the mapping."""
    proposal = _propose(name, kb)
    file = tmp_path / "map.yaml"
    file.write_text(proposal.yaml(), encoding="utf-8")
    assert Mapping.model_validate(read_yaml(file, all_text=True)) == proposal.mapping
    if not proposal.lacks(["--as-of", "--inventory"]):
        assert read_mapping(file) == proposal.mapping


def test_both_readings_are_shown_where_nothing_decides(kb: KnowledgeBase) -> None:
    """An undecided mark or date is left out of the mapping, and each choice shows its meaning."""
    proposal = _propose("undecided.csv", kb)
    choices = {each.name: each.choices for each in proposal.missing}
    assert proposal.mapping.numbers is None
    assert proposal.mapping.csv.dates == ()
    assert len(choices["numbers"]) == len(choices["settlement_date"]) == 2
    assert "77000" in choices["numbers"][1]
    assert "01/10/2026 is 2026-10-01" in choices["settlement_date"][0]
