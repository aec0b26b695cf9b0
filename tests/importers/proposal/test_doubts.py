"""Columns that look like a field and are not, or that may be: left out, asked for, or CHECK."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_cli.errors import UsageError
from finops_cli.files.user_files import read_yaml
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.importers.proposal.proposal import Proposal, propose
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.tables import RowsTable

CUSIPS = ("594918104", "037833100", "00165C104", "36467W109")
BASE: dict[str, Sequence[str]] = {
    "CUSIP": CUSIPS,
    "Side": ("S", "B", "S", "B"),
    "Fail Qty": ("100", "200", "300", "400"),
    "Contra": ("DTC-0005", "DTC-0050", "DTC-0226", "DTC-0352"),
    "Age": ("1", "2", "3", "4"),
    "Market Value": ("1000.50", "2000", "3000", "4000"),
    "Reg SHO": ("N", "Y", "N", "N"),
    "Coverage %": ("0%", "50%", "100%", "25%"),
}


def _propose(kb: KnowledgeBase, drop: str = "", **columns: Sequence[str]) -> Proposal:
    """Propose for the base table without one column, with others; `_` in a name is a blank."""
    given = {name: cells for name, cells in BASE.items() if name != drop}
    given |= {name.replace("_", " "): cells for name, cells in columns.items()}
    rows = [list(given), *zip(*given.values(), strict=True)]
    return propose(RowsTable(rows), kb)


def _asked(proposal: Proposal) -> set[str]:
    return {each.name for each in proposal.missing}


def test_base_table_is_complete_without_a_doubt(kb: KnowledgeBase) -> None:
    """The table from which the others differ by a column is read as it is."""
    proposal = _propose(kb)
    assert proposal.is_complete
    assert proposal.checks == ()
    assert len(proposal.trial.records) == len(CUSIPS)


CHECKED = {
    "side": ("Side", {"Code": ("SL", "BUY", "SL", "BUY")}),
    "market_value": ("Market Value", {"Net_Amount": BASE["Market Value"]}),
    "counterparty": ("Contra", {"Broker_No": ("5", "50", "226", "352")}),
    "qty": ("Fail Qty", {"Nominal": BASE["Fail Qty"]}),
    "age_days": ("Age", {"Days": BASE["Age"]}),
    "inventory.box_qty": ("Coverage %", {"Free": ("0", "100", "300", "100")}),
    "cp_fail_rate_pct": ("", {"CP_Fail_Rate": ("0.04", "0.02", "0.1", "0.005")}),
}


@pytest.mark.parametrize("field", CHECKED)
def test_weak_evidence_is_proposed_with_a_check(field: str, kb: KnowledgeBase) -> None:
    """A doubt that a header leaves is marked CHECK in the YAML."""
    drop, columns = CHECKED[field]
    proposal = _propose(kb, drop, **columns)
    assert field in proposal.mapping.columns
    assert [check for check in proposal.checks if check.startswith(f"{field}: ")]
    assert "# CHECK: " in proposal.yaml()


LEFT_OUT = {
    "account": ("Contra", {"Account": ("5", "50", "226", "352")}, "counterparty"),
    "executing": ("Contra", {"Executing_Broker": ("5", "50", "226", "352")}, "counterparty"),
    "name": ("Contra", {"Contra_Broker": ("GS", "MS", "NFS", "JPM")}, "counterparty"),
    "account_digits": ("Contra", {"Contra": ("12345", "54321", "77777", "12121")}, "counterparty"),
    "euro": ("Market Value", {"Market_Value_EUR": BASE["Market Value"]}, "market_value"),
    "segregated": ("Coverage %", {"Seg_Qty": BASE["Fail Qty"]}, "inventory_coverage_pct"),
    "no_cusip": ("CUSIP", {"SEDOL": ("2588173", "2046251", "B0YQ5W0", "0263494")}, "cusip"),
    "bad_digit": ("CUSIP", {"CUSIP": ("594918105", "037833101", "00165C105", "x")}, "cusip"),
    "empty": ("Reg SHO", {"Reg_SHO": ("", "", "", "")}, "reg_sho_threshold"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_column_of_something_else_is_left_out_and_asked(name: str, kb: KnowledgeBase) -> None:
    """A wrong proposal is worse than none: an account is not a counterparty, nor euros dollars."""
    drop, columns, field = LEFT_OUT[name]
    proposal = _propose(kb, drop, **columns)
    assert field not in proposal.mapping.columns
    assert field in {each.name for each in proposal.missing}


def test_currency_column_decides_about_the_market_value(kb: KnowledgeBase) -> None:
    """A column of currencies with another than USD leaves the market value out."""
    assert _propose(kb, Currency=("USD",) * 4).is_complete
    mixed = _propose(kb, Currency=("USD", "EUR", "USD", "USD"))
    assert [each.name for each in mixed.lacks()] == ["market_value"]


def test_position_without_a_sign_is_left_out(kb: KnowledgeBase) -> None:
    """A position above 0 with FTD means that nothing is owed; without signs it tells nothing."""
    directions = ("FTD", "FTR", "FTD", "FTR")
    unsigned = _propose(kb, CNS_Position=BASE["Fail Qty"], CNS_Direction=directions)
    assert "cns_position" not in unsigned.mapping.columns
    signed = _propose(kb, CNS_Position=("-100", "200", "-300", "400"), CNS_Direction=directions)
    assert signed.mapping.columns["cns_position"].sign == "keep"


def test_long_and_short_at_cns_give_the_direction(kb: KnowledgeBase) -> None:
    """Beside a position at CNS, `S` owes shares and `L` is owed them; a CHECK asks about sales."""
    proposal = _propose(kb, "Side", L_S=("S", "L", "S", "L"), CNS_Qty=BASE["Fail Qty"])
    assert proposal.mapping.columns["cns_direction"].values == {"S": "FTD", "L": "FTR"}
    assert "sale_type" not in proposal.mapping.columns
    assert any("how the sale was marked" in check for check in proposal.checks)


def test_position_without_sign_or_side_asks_who_delivers(kb: KnowledgeBase) -> None:
    """Positions that are all above 0 do not say that all fails are to receive."""
    proposal = _propose(kb, "Side", CNS_Qty=BASE["Fail Qty"])
    assert "cns_position" not in proposal.mapping.columns
    assert "side" in {each.name for each in proposal.lacks()}


def test_sign_alone_gives_no_side(kb: KnowledgeBase) -> None:
    """Where only the sign of the quantity tells who delivers, both readings are offered."""
    proposal = _propose(kb, "Side", Fail_Qty=("-100", "200", "-300", "400"))
    side = next(each for each in proposal.lacks() if each.name == "side")
    assert len(side.choices) == 2


def test_percent_header_with_small_numbers_is_asked(kb: KnowledgeBase) -> None:
    """0.04 under a header with a percent sign is 0.04 or 4 percent; finops does not choose."""
    proposal = _propose(kb, CP_Fail_Pct=("0.04", "0.02", "0.1", "0.005"))
    assert "cp_fail_rate_pct" not in proposal.mapping.columns
    rate = next(each for each in proposal.missing if each.name == "cp_fail_rate_pct")
    assert len(rate.choices) == 2


def test_percent_signs_beside_bare_fractions_are_asked(kb: KnowledgeBase) -> None:
    """Where one cell is 4% and another 0.04, the second is 4 percent or 0.04; finops asks."""
    proposal = _propose(kb, CP_Fail_Rate=("4%", "0.04", "10%", "2%"))
    assert "cp_fail_rate_pct" not in proposal.mapping.columns
    rate = next(each for each in proposal.missing if each.name == "cp_fail_rate_pct")
    assert "0.04 is 0.04 percent" in rate.choices[0]
    assert "cp_fail_rate_pct" in _propose(kb, CP_Fail_Rate=("4%", "4", "10%", "2%")).mapping.columns


MIXES = {
    "fraction and percent": (("0.04", "4", "0.04", "4"), "0.04 and 4 are both read as percent"),
    "small and large": (("0.5", "2.1", "6.25", "3"), "0.5 and 6.25 are both read as percent"),
    "percent alone": (("1.5", "2.1", "6.25", "0"), ""),
    "signs of percent": (("0.5%", "2.1%", "6.25%", "3%"), ""),
}


@pytest.mark.parametrize("name", MIXES)
def test_rates_in_two_scales_are_marked_check(name: str, kb: KnowledgeBase) -> None:
    """Fractions below 1 beside percentages may have another scale: the line is marked CHECK."""
    cells, doubt = MIXES[name]
    proposal = _propose(kb, CP_Fail_Rate=cells)
    assert [doubt in check for check in proposal.checks] == [True] * bool(doubt)


def test_percent_header_allows_small_percentages(kb: KnowledgeBase) -> None:
    """Below a header that says percent, only a hundredfold within the column is in doubt."""
    assert _propose(kb, **{"CP_Fail_Rate_%": ("0.5", "2.1", "6.25", "3")}).checks == ()
    assert _propose(kb, **{"CP_Fail_Rate_%": ("0.05", "2.1", "6.25", "3")}).checks


def test_box_and_quantity_prove_the_scale_of_coverage(kb: KnowledgeBase) -> None:
    """Coverage of 0.5 with half the shares in the box is a fraction, without a doubt."""
    proposal = _propose(
        kb, "Coverage %", Coverage=("0", "0.5", "1", "0.25"), Box=("0", "100", "300", "100")
    )
    assert str(proposal.mapping.columns["inventory_coverage_pct"].scale) == "100"
    assert not [check for check in proposal.checks if check.startswith("inventory_coverage")]


def test_header_of_two_fields_of_stock_is_asked(kb: KnowledgeBase) -> None:
    """`Avail` is the box at one house and what can be borrowed at another."""
    proposal = _propose(kb, Avail=("0", "100", "300", "100"))
    assert "inventory.box_qty or inventory.stock_loan_available" in _asked(proposal)


def test_flag_of_disputes_gives_no_reason_where_it_is_no(kb: KnowledgeBase) -> None:
    """`N` in a column DK does not make a dispute of every row."""
    proposal = _propose(kb, DK=("N", "N", "Y", "N"))
    assert proposal.mapping.columns["dk_reason"].values == {"N": "", "Y": "DK"}


def test_marks_with_empty_cells_are_checked(kb: KnowledgeBase) -> None:
    """An `X` beside empty cells is read as yes and no, with a CHECK."""
    proposal = _propose(kb, "Reg SHO", Reg_SHO=("", "X", "", ""))
    column = proposal.mapping.columns["reg_sho_threshold"]
    assert (column.values, column.default) == ({"X": "Yes"}, "No")
    assert any(check.startswith("reg_sho_threshold") for check in proposal.checks)


def test_constant_participant_may_be_the_own_number(kb: KnowledgeBase) -> None:
    """A number that is equal in all rows is proposed with the question whose it is."""
    proposal = _propose(kb, "Contra", Participant=("352",) * 4)
    assert any("your own number" in check for check in proposal.checks)
    both = _propose(kb, "Contra", Participant=("352",) * 4, Contra_No=("5", "50", "226", "13"))
    assert both.mapping.columns["counterparty"].column == "Contra No"


def test_age_of_calendar_days_is_not_taken(kb: KnowledgeBase) -> None:
    """Settlement date plus age gives one day in all rows: the age counts calendar days."""
    proposal = _propose(
        kb,
        Age=("9", "8", "2", "1"),
        Settle_Date=("2026-11-16", "2026-11-17", "2026-11-23", "2026-11-24"),
    )
    assert "age_days" not in proposal.mapping.columns
    assert proposal.mapping.constants["clock_facts.as_of"] == "2026-11-25"


def test_date_columns_of_two_orders_are_asked(kb: KnowledgeBase) -> None:
    """A mapping has one order of day and month; a column of the other one is left out."""
    proposal = _propose(
        kb,
        T_D=("13/11/2026", "12/11/2026", "16/11/2026", "17/11/2026"),
        S_D=("11/16/2026", "11/13/2026", "11/17/2026", "11/18/2026"),
    )
    assert proposal.mapping.csv.dates == ("%d/%m/%Y",)
    assert "settlement_date" not in proposal.mapping.columns
    assert "clock_facts.settlement_date" in _asked(proposal)


def test_settlement_dates_that_are_not_read_are_required(kb: KnowledgeBase) -> None:
    """Without them the age would be counted from the trade date, and nobody would notice."""
    trades = ("11/13/2026", "11/12/2026", "11/16/2026", "11/17/2026")
    for cells in (("soon", "11/13/2026", "x", "T+1"), ("16/11/2026", "13/11/2026", *trades[:2])):
        proposal = _propose(kb, "Age", T_D=trades, S_D=cells)
        assert "clock_facts.settlement_date" in {each.name for each in proposal.lacks(("--as-of",))}


def test_one_cell_that_is_no_date_leaves_its_column(kb: KnowledgeBase) -> None:
    """A typing error in one cell refuses its row; the other rows keep their dates."""
    days = [f"11/{day}/2026" for day in (13, 16, 17, 18, 19, 20, 23, 24)]
    columns = {name: cells * 2 for name, cells in BASE.items()}
    columns["S/D"] = [*days[:7], "02/30/2026"]
    proposal = propose(RowsTable([list(columns), *zip(*columns.values(), strict=True)]), kb)
    assert "settlement_date" in proposal.mapping.columns
    assert any("'02/30/2026'" in check for check in proposal.checks)
    assert (len(proposal.trial.records), len(proposal.trial.refused)) == (7, 1)


def test_part_of_receives_is_not_offered_as_sales(kb: KnowledgeBase) -> None:
    """A report in two parts has no side: to call all rows deliveries would reverse the second."""
    columns = {name: cells for name, cells in BASE.items() if name != "Side"}
    fails = list(zip(*columns.values(), strict=True))
    head = [["FAIL TO DELIVER"], [*columns, ""]]
    parts = [*fails[:2], ["TOTAL FAIL TO DELIVER", "300"], ["FAIL TO RECEIVE"], [*columns]]
    proposal = propose(RowsTable([*head, *parts, *fails[2:]]), kb)
    (side,) = [each for each in proposal.missing if each.name == "side"]
    assert "line 6 'FAIL TO RECEIVE' begins a part" in side.why
    assert not any("Sell  #" in choice for choice in side.choices)
    assert proposal.trial.refused == ()


MISSING_CURES = {
    "counterparty": ("Contra", "counterparty: {column: COLUMN, repairs: [pad_dtc]}"),
    "market_value": ("Market Value", "market_value: COLUMN"),
}


@pytest.mark.parametrize("field", MISSING_CURES)
def test_missing_column_can_be_named(field: str, kb: KnowledgeBase) -> None:
    """A column whose header finops does not know is the first cure."""
    drop, cure = MISSING_CURES[field]
    proposal = _propose(kb, drop, Zeta=BASE[drop])
    (missing,) = [each for each in proposal.missing if each.name == field]
    assert missing.choices[0].startswith(cure)


def test_footer_does_not_skip_a_fail_that_begins_alike(kb: KnowledgeBase) -> None:
    """A security called TOTAL SYSTEM SERVICES is a fail, beside a footer that begins with Total."""
    names = ("TOTAL SYSTEM SERVICES", "APPLE", "AMC", "GAMESTOP")
    columns = {"Security Name": names, **BASE}
    rows = [list(columns), *zip(*columns.values(), strict=True), ["Total shares", "", "", "1000"]]
    proposal = propose(RowsTable(rows), kb)
    assert [rule.is_ for rule in proposal.mapping.rows.skip] == [("Total shares",)]
    assert len(proposal.trial.records) == len(CUSIPS)


def test_proven_column_decides_for_one_that_is_not(kb: KnowledgeBase) -> None:
    """Columns of one file have one order of day and month; ISO dates beside them are listed."""
    proposal = _propose(
        kb,
        T_D=("11/13/2026", "11/12/2026", "11/12/2026", "11/12/2026"),
        S_D=("12/11/2026", "12/10/2026", "12/09/2026", "12/08/2026"),
        As_Of=("2026-12-15",) * 4,
    )
    assert proposal.mapping.csv.dates == ("%m/%d/%Y", "%Y-%m-%d")
    assert "settlement_date" in proposal.mapping.columns
    assert len(proposal.trial.records) == len(CUSIPS)


def test_direction_needs_flag_and_side_together(kb: KnowledgeBase) -> None:
    """A flag of CNS and a side decide the direction; a row that no rule fits is damaged."""
    proposal = _propose(kb, CNS=("Y", "Y", "N", "N"))
    rules = proposal.mapping.columns["cns_direction"].when
    assert [(rule.if_, rule.then) for rule in rules] == [
        ({"CNS": ("Y",), "Side": ("S",)}, "FTD"),
        ({"CNS": ("Y",), "Side": ("B",)}, "FTR"),
        ({"CNS": ("N",)}, "N_A"),
    ]


def test_open_quantity_is_preferred_and_the_other_named(kb: KnowledgeBase) -> None:
    """The quantity that is still open is the fail, not what the trade was."""
    proposal = _propose(
        kb,
        "Fail Qty",
        Original_Qty=("900",) * 4,
        Open_Qty=BASE["Fail Qty"],
        Qty=("1", "2", "3", "4"),
    )
    assert proposal.mapping.columns["qty"].column == "Open Qty"
    assert any(check.startswith("qty: column 'Qty'") for check in proposal.checks)


def test_repeated_header_is_named_by_its_place(kb: KnowledgeBase) -> None:
    """Of two columns with one name, the mapping names the number."""
    rows = [[*BASE, "Age"], *([*cells, "9"] for cells in zip(*BASE.values(), strict=True))]
    assert propose(RowsTable(rows), kb).mapping.columns["age_days"].column == "#5"


def test_far_cell_makes_no_column_of_each_place(kb: KnowledgeBase) -> None:
    """Blank places between the header and one far cell are not listed as columns."""
    rows = [list(BASE), *zip(*BASE.values(), strict=True)]
    far = [*rows[-1], *[""] * 500, "x"]
    proposal = propose(RowsTable([*rows, far]), kb)
    assert len(proposal.unused) == 1


def test_total_behind_the_sample_is_found(kb: KnowledgeBase) -> None:
    """The last rows of a long file are read too, so that its total is skipped."""
    row = [cells[0] for cells in BASE.values()]
    total = ["Total", *[""] * (len(row) - 1)]
    proposal = propose(RowsTable([list(BASE), *[row] * 500, total]), kb)
    assert proposal.mapping.rows.skip[0].is_ == ("Total",)


def test_table_without_a_known_header_is_refused(kb: KnowledgeBase) -> None:
    """Rows without names of columns are refused, with what to write above them."""
    rows = list(zip(*BASE.values(), strict=True))
    with pytest.raises(UsageError, match="headers that finops knows"):
        propose(RowsTable(rows), kb)


HEADERS = st.sampled_from(
    sorted({name for names in load_kb(bundled_kb_dir()).imports.headers.values() for name in names})
    + sorted(
        {
            name
            for names in load_kb(bundled_kb_dir()).imports.weak_headers.values()
            for name in names
        }
    )
) | st.text(st.characters(codec="utf-8"), max_size=8)
CELLS = st.sampled_from(
    [
        *(*CUSIPS, "37833100", "US0378331005", '="594918104"', "8.88E+08", ""),
        *("Y", "N", "X", "B", "S", "D", "R", "FTD", "FTR", "CNS", "-", "n/a", "Total"),
        *("5", "352", "0352", "DTC-0352", "12.000", "1.234,56", "(6,720.00)", "4%", "0.04", "-1"),
        *("11/12/2026", "13/11/2026", "2026-11-13", "20261113", "13-Nov-26", "EUR", "USD"),
    ]
) | st.text(st.characters(codec="utf-8"), max_size=6)
TABLES = st.integers(2, 9).flatmap(
    lambda width: st.tuples(
        st.lists(HEADERS, min_size=width, max_size=width),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=5),
    )
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=TABLES)
def test_yaml_of_any_table_reads_back_as_its_mapping(
    table: tuple[list[str], list[list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a table holds, the text of its proposal is the mapping of the proposal."""
    header, rows = table
    try:
        proposal = propose(RowsTable([header, *rows]), load_kb(bundled_kb_dir()))
    except UsageError as error:
        assert "headers that finops knows" in str(error)  # noqa: PT017 - the other path goes on
        return
    file = tmp_path_factory.getbasetemp() / "proposed.yaml"
    file.write_text(proposal.yaml(), encoding="utf-8", newline="")
    assert Mapping.model_validate(read_yaml(file, all_text=True)) == proposal.mapping
