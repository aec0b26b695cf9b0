"""finops run, triage, check and import of files as desks have them: CSV, .xlsx, .gz and .zip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk_tables import (
    BLOTTER,
    FIXED,
    HEADER,
    KINDS,
    MAPPING,
    SEC,
    SEC_FILE,
    TABLE,
    a_row,
    as_csv,
    as_workbook,
)
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING)
    return path


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    path = tmp_path / "fails.csv"
    path.write_bytes(KINDS["csv"])
    return path


def test_run_of_a_table_has_one_line_for_each_row(
    fails: Path, mapping: Path, finops: Finops
) -> None:
    """A damaged row is a rejected line in its place, under the number of its row in the file."""
    done = finops("run", fails, "--map", mapping, *FIXED)
    lines = rows(done.stdout)
    assert done.returncode == 1
    assert len(lines) == 40
    for number, line in enumerate(lines, start=1):
        row = number + 1  # below the header
        unnamed = number % 8 == 5 or number % 10 == 7
        assert line["fail_id"] == (f"line-{row}" if unnamed else f"R-{number}")
        assert (line["status"] == "rejected") == (number % 10 == 7)
    rejected = lines[6]["error"]
    assert rejected["line"] == 8
    assert "column 'Qty'" in rejected["message"]
    assert rejected["problems"][0]["path"] == "/qty"


@pytest.mark.parametrize("more", [("--as-of", "2026-11-27", "--clock", "regulation"), ()])
def test_row_that_a_run_rejects_is_named_by_its_line(
    more: tuple[str, ...], tmp_path: Path, mapping: Path, finops: Finops
) -> None:
    """A row refused by the clock or by --strict-input has the line that a row refused as read has.

    The blank line before it has no record, so its place among the records is another number.
    """
    cells = a_row(3, CNS="D", Box=0, Age=3)
    coverage = {} if more else {"Coverage": "100%"}
    table = [[*HEADER, *coverage], [], [*cells, *coverage.values()]]
    fails = tmp_path / "fails.csv"
    fails.write_bytes(as_csv(table))
    if not more:
        text = mapping.read_text().replace(
            "columns:", "columns:\n  inventory_coverage_pct: Coverage"
        )
        mapping.write_text(text)
    else:
        day = 'constants:\n  clock_facts.settlement_date: "2026-11-26"'
        mapping.write_text(mapping.read_text().replace("constants:", day))
    done = finops("run", fails, "--map", mapping, "--strict-input", *more, *FIXED, "--quiet")
    (line,) = rows(done.stdout)
    assert (line["status"], line["error"]["line"]) == ("rejected", 3)
    assert line["error"]["message"].startswith("line 3: ")


def test_bad_cell_asks_for_no_moment_that_is_given(
    tmp_path: Path, mapping: Path, finops: Finops
) -> None:
    """A row with a bad cell and a date has the problem of the cell alone."""
    text = mapping.read_text().replace("age_days: Age", "settlement_date: Age")
    mapping.write_text(text)
    fails = tmp_path / "fails.csv"
    fails.write_bytes(as_csv([HEADER, a_row(3, **{"B/S": "X", "Age": "2026-11-20"})]))
    done = finops("run", fails, "--map", mapping, "--as-of", "2026-11-27", *FIXED, "--quiet")
    (line,) = rows(done.stdout)
    assert [each["path"] for each in line["error"]["problems"]] == ["/side"]


def test_run_of_a_table_says_what_it_did(fails: Path, mapping: Path, finops: Finops) -> None:
    """stderr names the file, its kind and rows, and what was skipped, repaired and assumed."""
    talk = finops("run", fails, "--map", mapping, *FIXED).stderr.decode()
    told = " ".join(talk.split())
    assert f"{fails}: CSV, ',' between cells, 41 rows" in told
    assert "1 row skipped: column 'Ref' is 'Total'" in told
    assert "counterparty: 40 cells repaired by pad_dtc" in told
    assert "inventory.box_qty: 10 empty cells took the default" in told


@pytest.mark.parametrize("kind", ["semicolons", "gz", "zip", "xlsx"])
def test_run_of_each_kind_gives_the_same_lines(
    kind: str, fails: Path, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """The kind of the file, whatever its name, does not change any answer."""
    expected = finops("run", fails, "--map", mapping, *FIXED)
    other = tmp_path / "fails.txt"
    other.write_bytes(as_workbook(TABLE) if kind == "xlsx" else KINDS[kind])
    found = finops("run", other, "--map", mapping, *FIXED)
    assert found.stdout == expected.stdout
    assert found.returncode == expected.returncode


def test_run_of_a_pipe_with_a_mapping_gives_the_same_lines(
    fails: Path, mapping: Path, finops: Finops
) -> None:
    """CSV from a pipe needs --map, which is all that it needs."""
    expected = finops("run", fails, "--map", mapping, *FIXED)
    found = finops("run", "-", "--map", mapping, *FIXED, stdin=fails.read_bytes())
    assert found.stdout == expected.stdout


@pytest.mark.parametrize(
    ("content", "options", "message", "cure"),
    [
        (KINDS["csv"], (), "stdin: is CSV, ',' between cells, not JSON Lines", "--map"),
        (KINDS["csv"], ("--accept",), "--accept needs a file", "--map MAPPING.yaml alone"),
        (SEC, (), "a fails-to-deliver file", "finops import sec-fails FILE"),
        (KINDS["gz"], (), "a packed file or a workbook", "gzip -dc FILE"),
        (KINDS["zip"], (), "a packed file or a workbook", "gzip -dc FILE"),
    ],
)
def test_run_of_another_kind_on_a_pipe_is_refused(
    content: bytes, options: tuple[str, ...], message: str, cure: str, finops: Finops
) -> None:
    """A pipe cannot be read twice: what needs that is refused before any line is written."""
    done = finops("run", "-", *options, *FIXED, stdin=content)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert cure in done.stderr.decode().partition("fix: ")[2]


@pytest.mark.parametrize("command", ["run", "triage"])
def test_table_without_a_mapping_prints_a_proposal(command: str, finops: Finops) -> None:
    """Without --map and --accept nothing is guessed: the proposal is on stderr, and exit is 2."""
    done = finops(command, BLOTTER, *FIXED)
    talk = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert "columns:\n" in talk
    assert "  qty: Shares\n" in talk
    assert "--accept" in talk.partition("fix: ")[2]


def test_accepted_mapping_can_be_kept_and_used_again(tmp_path: Path, finops: Finops) -> None:
    """--accept --save-map keeps the mapping; the next run with it gives the same lines."""
    saved = tmp_path / "monday.yaml"
    first = finops("run", BLOTTER, "--accept", "--save-map", saved, *FIXED)
    assert first.returncode == 0, first.stderr
    second = finops("run", BLOTTER, "--map", saved, *FIXED)
    assert second.stdout == first.stdout
    again = finops("run", BLOTTER, "--accept", "--save-map", saved, *FIXED)
    assert again.stdout == first.stdout


def test_save_map_to_a_device_is_refused(finops: Finops) -> None:
    """A device is neither read without end nor replaced by a file."""
    for device in ("/dev/null", "/dev/zero"):
        done = finops("run", BLOTTER, "--accept", "--save-map", device, *FIXED)
        assert done.returncode == 2
        assert b"is a pipe or a device" in done.stderr
    assert not Path("/dev/null").is_file()


def test_save_map_does_not_replace_another_mapping(tmp_path: Path, finops: Finops) -> None:
    """A mapping that a person corrected is not overwritten."""
    saved = tmp_path / "monday.yaml"
    saved.write_text("columns: {}\n")
    done = finops("run", BLOTTER, "--accept", "--save-map", saved, *FIXED)
    assert done.returncode == 2
    assert saved.read_text() == "columns: {}\n"
    assert f"--map {saved}" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run {jsonl} --map {mapping}", "--map is for CSV and .xlsx"),
        ("run {jsonl} --accept", "--accept is for CSV and .xlsx"),
        ("run {csv} --map {mapping} --accept", "exclude each other"),
        ("run {csv} --map {mapping} --save-map {new}", "exclude each other"),
        ("run {sec}", "a fails-to-deliver file of the SEC"),
        ("triage {sec} --map {mapping}", "finops import sec-fails"),
        ("run {csv} --map {mapping} -o {mapping}", "is the input and also the output"),
        ("run {csv} --accept --save-map {csv}", "already reads or writes that file"),
        ("resolve {csv}", "accepted: JSON Lines"),
        ("check {out} --map {mapping}", "--map is for the file of --fails"),
        ("import csv {jsonl} --accept", "--accept is for CSV and .xlsx"),
    ],
)
def test_option_that_does_not_fit_the_file_is_refused(
    arguments: str, message: str, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """A file and options that do not fit are refused with exit 2, and nothing is written."""
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"{}\n")
    places = {
        "jsonl": EXAMPLES / "monday.jsonl",
        "csv": BLOTTER,
        "sec": SEC_FILE,
        "mapping": mapping,
        "new": tmp_path / "new.yaml",
        "out": out,
    }
    done = finops(*(part.format(**places) for part in arguments.split()), "-q")
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.decode().split())
    assert mapping.read_text() == MAPPING
    assert not (tmp_path / "new.yaml").exists()


def test_check_against_a_table_finds_a_missing_line(
    fails: Path, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """check --fails reads the file that was run, with its damaged rows in their places."""
    out = tmp_path / "out.jsonl"
    finops("run", fails, "--map", mapping, *FIXED, "-o", out)
    assert finops("check", out, "--fails", fails, "--map", mapping).returncode == 0
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:6] + lines[7:]))  # without the first rejected line
    assert finops("check", out, "--fails", fails, "--map", mapping).returncode == 1


def test_import_of_a_workbook_gives_the_records_of_csv(
    fails: Path, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """A workbook gives the records that the same rows as CSV give; only their origin differs."""
    book = tmp_path / "fails.xlsx"
    book.write_bytes(as_workbook(TABLE))
    found = [
        [{**record, "origin": None} for record in rows(done.stdout)]
        for done in (
            finops("import", "csv", fails, "--map", mapping),
            finops("import", "csv", book, "--map", mapping),
        )
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 36


def test_import_without_a_mapping_prints_it_on_stdout(tmp_path: Path, finops: Finops) -> None:
    """The printed proposal is a mapping that works."""
    done = finops("import", "csv", BLOTTER)
    assert done.returncode == 2, done.stderr
    saved = tmp_path / "mapping.yaml"
    saved.write_bytes(done.stdout)
    read = finops("import", "csv", BLOTTER, "--map", saved)
    assert read.stdout == finops("import", "csv", BLOTTER, "--accept").stdout
    assert len(rows(read.stdout)) == 5
