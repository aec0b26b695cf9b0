"""Which rows of a file are fails, and how columns are named: preamble, totals, headers, `when`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importers.mapped_rows.test_csv_blotter import (
    GOOD,
    HEADER,
    MAPPING,
    fail_ids,
    good_row,
    import_blotter,
    records,
)


def test_rows_above_the_header_and_totals_are_left_out(tmp_path: Path) -> None:
    """Rule: `rows` says where the header is and which rows are not fails; both are counted."""
    mapping = MAPPING + (
        "rows:\n  header: 4\n  skip:\n"
        '  - {column: Ref, is: [Total, "*** end*"]}\n  - {column: Security, is: [""]}\n'
    )
    text = "\n".join(
        [
            "Daily fails, 11/17/2026",
            '"not closed',
            "",
            HEADER,
            GOOD,
            ",".join(["TOTAL", *[""] * 10, "99"]),
            "*** End of report ***",
            "page 1",
            good_row("D-2"),
        ]
    )
    result = import_blotter(tmp_path, text, mapping)
    assert (result.exit_code, fail_ids(result)) == (0, ["D-1", "D-2"]), result.stderr
    assert [each["origin"]["line"] for each in records(result)] == [5, 9]
    name = tmp_path / "blotter.csv"
    for note in (
        "3 lines above the header were left out",
        "2 rows skipped: column 'Ref' is 'Total' or '*** end*'",
        "1 row skipped: column 'Security' is ''",
    ):
        assert f"{name}: {note}\n" in result.stderr
    assert "records 2  rows 5  files 1  damaged lines 0" in result.stderr


def test_one_line_above_the_header_is_one_line(tmp_path: Path) -> None:
    """A note has the noun and the verb of its count."""
    text = f"Daily fails\n{HEADER}\n{GOOD}\n"
    result = import_blotter(tmp_path, text, MAPPING + "rows: {header: 2}\n")
    assert "blotter.csv: 1 line above the header was left out\n" in result.stderr


def test_beginning_skips_no_row_that_reads_as_a_fail(tmp_path: Path) -> None:
    """Rule: `Total*` skips a footer, and refuses a fail; a whole text skips any row."""
    rules = 'rows: {skip: [{column: Ref, is: ["Total*", Total Sys]}]}\n'
    footer = ",".join(["Total shares", *[""] * 10, "99"])
    lines = [HEADER, GOOD, good_row("Total Energies"), footer, good_row("total sys")]
    result = import_blotter(tmp_path, "\n".join(lines), MAPPING + rules)
    assert (result.exit_code, fail_ids(result)) == (1, ["D-1"]), result.stderr
    assert "blotter.csv:3: column 'Ref' is \"Total Energies\", which rows: skip" in result.stderr
    assert "2 rows skipped" in result.stderr


def test_short_row_that_no_rule_skips_is_damage(tmp_path: Path) -> None:
    """Rule: a footer is damage until the mapping says that it is not a fail."""
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\nTotal,5000\n")
    assert result.exit_code == 1
    assert "blotter.csv:3: the row has 2 cells, and the header 12" in result.stderr


def test_line_of_header_that_is_blank_is_refused(tmp_path: Path) -> None:
    """Rule: the header is where the mapping says, or the file is refused."""
    result = import_blotter(tmp_path, f"x\n\n{HEADER}\n{GOOD}\n", MAPPING + "rows: {header: 2}\n")
    assert result.exit_code == 2
    assert "line 2, the header of the mapping, is not a row" in result.stderr
    assert "fix: correct rows: {header: ...} in the mapping" in result.stderr


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("  CNS   Pos ", "CNS Pos"),
        ('"CNS\nPos"', "CNS Pos"),
        ("CNS\N{NO-BREAK SPACE}Pos", "CNS Pos"),
        ("", '"#8"'),
        ("Shares", '"#8"'),
        ("CNS Pos", '" CNS  Pos "'),
    ],
)
def test_column_is_named_by_its_text_or_place(tmp_path: Path, header: str, name: str) -> None:
    """Rule: white space does not count in a header, and "#8" is the eighth column."""
    mapping = MAPPING.replace("cns_position: CNS Pos", f"cns_position: {name}")
    mapping = mapping.replace("qty: Shares", 'qty: "#4"')
    result = import_blotter(tmp_path, f"{HEADER.replace('CNS Pos', header)}\n{GOOD}\n", mapping)
    assert result.exit_code == 0, result.stderr
    assert records(result)[0]["cns_position"] == -5000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('"#13"', "column '#13', mapped to qty, is beyond the 12 columns of the header"),
        ("Ref2", "column 'Ref2', mapped to qty, is not in the header (did you mean 'Ref'?)"),
        ("Side", 'stands 2 times in the header; name it by its place: "#3", "#6"'),
    ],
)
def test_column_that_the_header_lacks_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Rule: a column must be in the header once, or be named by its place."""
    mapping = MAPPING.replace("qty: Shares", f"qty: {name}").replace("  age_days: Days\n", "")
    mapping = mapping.replace("side: Side", 'side: "#3"') + "constants: {age_days: 7}\n"
    result = import_blotter(tmp_path, f"{HEADER.replace('Days', 'Side')}\n{GOOD}\n", mapping)
    assert result.exit_code == 2
    assert message in result.stderr


RULES = "{if: {CNS: [y], Side: [S, Sell*]}, then: FTD}, {if: {CNS: [Y]}, then: FTR}"


def decide(rules: str) -> str:
    return MAPPING.replace("cns_direction: CNS\n", f"cns_direction: {{when: [{rules}]}}\n")


@pytest.mark.parametrize(
    ("cns", "side", "direction"),
    [("Y", "Sell", "FTD"), (" y ", "Sell", "FTD"), ("Y", "Buy", "FTR"), ("N", "Buy", "N_A")],
)
def test_first_rule_that_fits_decides_a_field(
    tmp_path: Path, cns: str, side: str, direction: str
) -> None:
    """Rule: all columns of a rule must fit; the last rule without `if` takes the rest."""
    row = GOOD.replace("FTD", cns).replace("Sell", side)
    result = import_blotter(tmp_path, f"{HEADER}\n{row}\n", decide(f"{RULES}, {{then: N_A}}"))
    assert [each["cns_direction"] for each in records(result)] == [direction], result.stderr


def test_row_that_no_rule_fits_is_damage(tmp_path: Path) -> None:
    """Rule: without a last rule, a row that no rule fits names the cells that decide."""
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD.replace('FTD', 'N')}\n", decide(RULES))
    assert result.exit_code == 1
    message = "cns_direction: no rule fits column 'CNS' \"N\", column 'Side' \"Sell\"; accepted: "
    assert f"blotter.csv:2: {message}" in result.stderr
    assert "fix: write a rule for these cells, or a last rule {then: VALUE}" in result.stderr


def test_unreadable_cell_decides_nothing(tmp_path: Path) -> None:
    """Rule: the last rule does not take a row whose deciding cell is damaged."""
    row = f"{HEADER}\n{GOOD}\n".encode().replace(b"FTD", b"\xff")
    result = import_blotter(tmp_path, row, decide(f"{RULES}, {{then: N_A}}"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cns_direction: cannot be decided by column 'CNS' " in result.stderr


@pytest.mark.parametrize(
    ("text", "default", "value", "assumed"),
    [
        ("", "250", 250, True),
        ("n/a", "250", 250, True),
        ("#N/A", "250", 250, True),
        ("?", "250", 250, True),
        ("0", "250", 0, False),
        ("$2.1M", "250", 2_100_000, False),
    ],
)
def test_default_is_taken_for_an_empty_cell_and_named(
    tmp_path: Path, text: str, default: str, value: int, assumed: bool
) -> None:
    """Rule: a default fills an empty cell; the record lists it as assumed, and it is counted."""
    column = f'{{column: Value, default: "{default}", blanks: ["?"]}}'
    mapping = MAPPING.replace("market_value: Value", f"market_value: {column}")
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD.replace('$2.1M', text)}\n", mapping)
    [record] = records(result)
    assert record["market_value"] == value
    assert ("market_value" in record["origin"].get("assumed", [])) is assumed
    assert ("market_value: 1 empty cell took the default" in result.stderr) is assumed


@pytest.mark.parametrize(
    ("blanks", "text", "is_blank"),
    [
        ("", "NULL", True),
        ("", "null", True),
        ("blanks: [none]\n", "NULL", False),
        ("blanks: [none]\n", "None", True),
        ("blanks: []\n", "-", False),
    ],
)
def test_blanks_of_the_mapping_replace_those_of_kb(
    tmp_path: Path, blanks: str, text: str, is_blank: bool
) -> None:
    """Rule: without `blanks` the knowledge base says which texts are empty; capitals are equal."""
    row = GOOD.replace('"(5,000)"', text)
    result = import_blotter(tmp_path, f"{HEADER}\n{row}\n", MAPPING + blanks)
    assert (result.exit_code == 0) is is_blank
    if is_blank:
        assert "cns_position" not in records(result)[0]
    else:
        assert f"column 'CNS Pos' (cns_position) is \"{text}\"" in result.stderr


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            MAPPING + "numbers: {decimal: ',', grouping: ','}\n",
            "numbers is an object with 2 fields. Expected two marks that differ",
        ),
        (MAPPING + "numbers: {decimal: ';'}\n", "numbers.decimal is ';'. Expected one of: ., ,"),
        (MAPPING + "rows: {header: 0}\n", "rows.header is '0'. Expected a number from 1 up"),
        (MAPPING + "rows: {skip: [{column: Ref}]}\n", "rows.skip[0].is is missing"),
        (
            MAPPING.replace("qty: Shares", "qty: {column: Shares, sign: abs}"),
            "columns.qty.sign is 'abs'. Expected one of: keep, drop, negate",
        ),
        (
            MAPPING.replace("qty: Shares", 'qty: {column: Shares, scale: "0"}'),
            "columns.qty.scale is '0'. Expected a number above 0",
        ),
        (
            MAPPING.replace("side: Side", "side: {column: Side, sign: drop}"),
            "columns.side.sign is given. Expected no sign: side is not a number",
        ),
        (
            MAPPING.replace("side: Side", "side: {column: Side, repairs: [pad_dtc]}"),
            "columns.side.repairs[0] is 'pad_dtc'. Expected a repair of this field: formula_text",
        ),
        (
            MAPPING.replace("side: Side", "side: {column: Side, repairs: [guess]}"),
            "columns.side.repairs[0] is 'guess'. Expected one of: formula_text, ap",
        ),
        (
            MAPPING.replace("side: Side", "side: {column: Side, default: buy}"),
            'columns.side.default is "buy". Expected Buy, Sell',
        ),
        (
            MAPPING.replace("side: Side", "side: {when: [{if: {Side: [S]}, then: S}]}"),
            'columns.side.when[0].then is "S". Expected Buy, Sell',
        ),
        (
            MAPPING.replace("side: Side", "side: {when: [], column: Side}"),
            "columns.side.column is not a known key",
        ),
        (
            MAPPING + 'csv: {dates: ["%m/%d/%Y", "%d/%m/%Y"]}\n',
            "%m/%d/%Y and %d/%m/%Y both read 11/12/2010",
        ),
    ],
)
def test_mapping_with_an_impossible_key_is_refused(
    tmp_path: Path, mapping: str, message: str
) -> None:
    """Rule: a key that cannot mean anything names what is accepted, before any record."""
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_mapping_need_not_give_what_a_record_may_lack(tmp_path: Path) -> None:
    """Rule: the parser of records says what a mapping must give; of an inventory, the box."""
    mapping = MAPPING.replace("  qty: Shares\n", "").replace("  cns_position: CNS Pos\n", "")
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping + "  inventory.box_qty: Ref\n")
    found = [line for line in result.stderr.splitlines() if "is missing" in line]
    assert len(found) == 1
    assert "columns.qty is missing" in found[0]


PLAIN = "D-1,594918104,Sell,5000,DTC-0005,7,5000,-5000,FTD,Yes,10,4"
"""A row that says nothing about the comma."""


@pytest.mark.parametrize(
    ("value", "position", "numbers", "fails", "qty"),
    [
        ("5000", "-5000", "", ["A", "B"], 12000),
        ('"6,5"', "-5000", "", [], 0),
        ('"6,5"', "-5000", "numbers: {decimal: '.'}\n", ["A"], 12000),
        ('"6,5"', "-5000", "numbers: {decimal: ','}\n", ["A", "B"], 12),
        ('"6,5"', '"1,234,567"', "", ["A"], 12000),
    ],
)
def test_file_with_a_decimal_comma_has_no_thousands(
    tmp_path: Path, value: str, position: str, numbers: str, fails: list[str], qty: int
) -> None:
    """Rule: 12,000 is refused where a cell anywhere in the file shows a decimal comma."""
    first = PLAIN.replace("D-1", "A").replace("Sell,5000", 'Sell,"12,000"')
    second = PLAIN.replace("D-1", "B").replace("5000,-5000", f"{value},{position}")
    result = import_blotter(tmp_path, f"{HEADER}\n{first}\n{second}\n", MAPPING + numbers)
    assert fail_ids(result) == fails, result.stderr
    if fails:
        assert records(result)[0]["qty"] == qty
        return
    message = "\"12,000\", where the comma may be decimal, as in line 3, column 'Value': 6,5;"
    assert f"blotter.csv:2: column 'Shares' (qty) is {message}" in result.stderr


def test_rates_in_two_scales_are_named_on_stderr(tmp_path: Path) -> None:
    """Rule: a column read as percent with 0.04 beside 4 is named, where `scale` is absent."""
    text = f"{HEADER}\n{GOOD[:-2]}0.04\n{good_row('D-2')[:-1]}\n"
    found = import_blotter(tmp_path, text)
    assert "cp_fail_rate_pct: column 'Rate' has 0.04 in line 2 and 4 in line 3" in found.stderr
    stated = MAPPING.replace("pct: Rate", 'pct: {column: Rate, scale: "1"}')
    assert "'Rate' has" not in import_blotter(tmp_path, text, stated).stderr
    signed = text.replace(",0.04", ",0.04%")
    assert "'Rate' has" not in import_blotter(tmp_path, signed).stderr
