"""Headers as desks, custodians and vendors write them."""

from __future__ import annotations

import pytest

from finops_cli.importers.mapped_rows.cells import CELLS
from finops_cli.importers.proposal.headers import HeaderIndex
from finops_cli.kb.rulebook import KnowledgeBase

HEADERS = {
    "FAIL_QTY": "qty",
    "FailQty": "qty",
    "Fail Qty.": "qty",
    "Qty Failed": "qty",
    "Contra Brkr Nbr.": "counterparty",
    "DTC #": "counterparty",
    "B/S": "side",
    "buy_sell_ind": "side",
    "T/D": "clock_facts.trade_date",
    "SETTLEMENTDATE": "clock_facts.settlement_date",
    "Contractual Settle": "clock_facts.settlement_date",
    "Mkt Val (USD)": "market_value",
    "MV (000's)": "market_value",
    "CP Fail %": "cp_fail_rate_pct",
    "CNS Ind": "cns_direction",
    "Aged Days": "age_days",
    "Security\nID": "cusip",
    "avail_box_qty": "inventory.box_qty",
    "Orig Settle": "clock_facts.settlement_date",
    "Valuta": "clock_facts.settlement_date",
    "Date de règlement": "clock_facts.settlement_date",
    "Handelstag": "clock_facts.trade_date",
    "Date de négociation": "clock_facts.trade_date",
    "Stück": "qty",
    "Quantité": "qty",
    "Kauf/Verkauf": "side",
    "Sens": "side",
    "GEGENPARTEI": "counterparty",
    "Contrepartie": "counterparty",
    "Marktwert USD": "market_value",
    "Valeur de marché": "market_value",
    "Bestand": "inventory.box_qty",
}


@pytest.mark.parametrize("header", HEADERS)
def test_header_is_known_in_each_way_of_writing(header: str, kb: KnowledgeBase) -> None:
    """Case, signs, short forms and the order of the words do not matter."""
    matches = HeaderIndex(kb.imports).find(header).matches
    assert [match.field for match in matches if not match.is_weak][:1] == [HEADERS[header]]


WEAK = {
    "Rate %": "cp_fail_rate_pct",
    "Long/Short Qty": "qty",
    "Elig": "clock_facts.venue",
    "Jours de retard": "age_days",
    "Date de valeur": "clock_facts.settlement_date",
    "Net Amount": "market_value",
    "Settlement Amount": "market_value",
    "Broker No": "counterparty",
    "Days": "age_days",
    "Free": "inventory.box_qty",
}


@pytest.mark.parametrize("header", WEAK)
def test_doubtful_header_is_a_weak_match(header: str, kb: KnowledgeBase) -> None:
    """A settled amount is not the market value for sure, nor a broker number the counterparty."""
    matches = HeaderIndex(kb.imports).find(header).matches
    assert {match.field for match in matches if match.is_weak} >= {WEAK[header]}
    assert all(match.is_weak for match in matches)


@pytest.mark.parametrize(
    "header", ["Account", "Acct No", "Executing Broker", "Seg", "Cal Days", "Corp Action"]
)
def test_header_of_no_field_has_a_reason_alone(header: str, kb: KnowledgeBase) -> None:
    """An account is not a counterparty, and segregated shares are not in the box."""
    meaning = HeaderIndex(kb.imports).find(header)
    assert meaning.matches == ()
    assert meaning.reason


def test_unit_and_currency_of_a_header_are_found(kb: KnowledgeBase) -> None:
    """`(000s)` multiplies by a thousand; EUR is not the US dollar."""
    index = HeaderIndex(kb.imports)
    assert index.find("MV ($000)").scale == 1000
    assert index.find("MV EUR").currency == "EUR"
    assert index.find("MV USD").currency == ""


def test_headers_of_the_kb_name_fields_of_a_record(kb: KnowledgeBase) -> None:
    """Every field of `import.headers` and `import.weak_headers` is one that a cell can hold."""
    named = {*kb.imports.headers, *kb.imports.weak_headers}
    assert named <= set(CELLS)


def test_header_of_the_kb_is_preferred_for_one_field(kb: KnowledgeBase) -> None:
    """No header is a strong match of two fields, but for `ID`, which the values decide."""
    index = HeaderIndex(kb.imports)
    twice = {
        header
        for headers in kb.imports.headers.values()
        for header in headers
        if len([match for match in index.find(header).matches if not match.is_weak]) > 1
    }
    assert twice == {"ID"}
