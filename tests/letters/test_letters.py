"""`finops letters`: which fails give which letter, and that each number is one of the desk's."""

from __future__ import annotations

import csv
import email
import email.policy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.letters.compose import Addressee, Composer
from finops_cli.letters.rows import LetterRow
from tests.support.program import EXAMPLES, Finops

KB = load_kb(bundled_kb_dir())
DESK = EXAMPLES / "letters" / "desk.yaml"
PARTIES = EXAMPLES / "letters" / "counterparties.csv"
_NUMBER = re.compile(r"\d[\d,]*")


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def index_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fail(fail_id: str, **changes: Any) -> dict[str, Any]:
    """A purchase outside CNS that the seller has not delivered."""
    return {
        "fail_id": fail_id,
        "cusip": "037833100",
        "side": "Buy",
        "qty": 1200,
        "counterparty": "DTC-0443",
        "age_days": 4,
        "market_value": 271200,
        "cns_direction": "N_A",
        "reg_sho_threshold": False,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": 1,
    } | changes


def letters_of(
    finops: Finops, tmp_path: Path, fails: list[dict[str, Any]], *options: object, run: str = ""
) -> list[dict[str, str]]:
    """The index of the letters of a run over `fails`; the letters are in `tmp_path`/letters."""
    given = write(tmp_path / "fails.jsonl", *fails)
    out = tmp_path / "out.jsonl"
    finops("run", given, "-o", out, "--quiet", "--overwrite", *run.split())
    folder = tmp_path / "letters"
    done = finops("letters", out, "--fails", given, "-o", folder, "--overwrite", *options)
    assert done.returncode == 0, done.stderr.decode()
    return index_of(folder)


def test_one_chaser_names_all_fails_of_a_counterparty(finops: Finops, tmp_path: Path) -> None:
    """A counterparty gets one chaser for all its fails, with the shares of each."""
    fails = [fail("A"), fail("B", qty=700), fail("C", counterparty="DTC-0015")]
    index = letters_of(finops, tmp_path, fails)
    assert [(row["letter"], row["fail_id"], row["shares"]) for row in index] == [
        ("chaser-DTC-0015", "C", "1200"),
        ("chaser-DTC-0443", "A", "1200"),
        ("chaser-DTC-0443", "B", "700"),
    ]
    text = (tmp_path / "letters" / "chaser-DTC-0443.txt").read_text()
    assert re.search(r"^A +037833100 +1,200 +4$", text, re.MULTILINE)
    assert re.search(r"^B +037833100 +700 +4$", text, re.MULTILINE)


@pytest.mark.parametrize("example", ["monday", "back-to-back", "gridlock", "corporate-action"])
def test_every_number_of_a_letter_is_in_the_desks_files(
    example: str, finops: Finops, tmp_path: Path
) -> None:
    """Each number of each letter is one of the record, the plan, the sender or the template."""
    fails, out = EXAMPLES / f"{example}.jsonl", EXAMPLES / f"{example}.expected.jsonl"
    folder = tmp_path / "letters"
    finops("letters", out, "--fails", fails, "-o", folder, "--desk", DESK)
    files = (fails, out, DESK, bundled_kb_dir() / "letters.toml")
    known = "".join(path.read_text() for path in files).replace(",0", "0")
    letters = [*folder.glob("*.txt")]
    assert letters
    for path in letters:
        for number in _NUMBER.findall(path.read_text()):
            digits = number.replace(",", "")
            assert re.search(rf"(?<!\d){digits}(?!\d)", known), (path.name, number)


def test_missing_facts_are_visible_blanks(finops: Finops, tmp_path: Path) -> None:
    """A missing fact of a sentence and of a required column is a blank, and the index counts it."""
    index = letters_of(finops, tmp_path, [fail("A", dk_reason=None), fail("B", dk_reason="Price")])
    [dk] = [row for row in index if row["kind"] == "dk"]
    text = (tmp_path / "letters" / "dk-DTC-0443.txt").read_text()
    assert "[FILL IN: name of the firm]" in " ".join(text.split())
    assert re.search(r"Price$", text, re.MULTILINE)
    html = (tmp_path / "letters" / "dk-DTC-0443.html").read_text()
    assert html.count("<mark>") + 1 == int(dk["blanks"])  # the subject has one, and no mark


def test_letters_of_a_named_party_and_sender(finops: Finops, tmp_path: Path) -> None:
    """Sender and recipient come from the two files; 161 in a file is DTC-0161."""
    fails = [fail("A", counterparty="DTC-0161")]
    given = ("--desk", DESK, "--counterparties", PARTIES)
    letters_of(finops, tmp_path, fails, *given, run="--as-of 2026-11-30")
    raw = (tmp_path / "letters" / "chaser-DTC-0161.eml").read_bytes()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["To"] == "fails@bank.example"
    assert message["From"] == "fails@clearing.example"
    assert message["Date"] == "Mon, 30 Nov 2026 05:00:00 +0000"
    body = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "To: Example Bank NA, DTC participant DTC-0161" in body
    assert "[FILL IN" not in body


def test_equal_runs_give_equal_letters(finops: Finops, tmp_path: Path) -> None:
    """Equal inputs give equal bytes: the date is the one of the run, the id is made of the text."""
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        out = EXAMPLES / "clock" / "fails.expected.jsonl"
        run = finops("run", EXAMPLES / "clock" / "fails.jsonl", "--as-of", "2026-11-18T08:30")
        out = tmp_path / f"{name}.jsonl"
        out.write_bytes(run.stdout)
        finops("letters", out, "-o", folder, "--desk", DESK)
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[0] == found[1]
    assert b"Wed, 18 Nov 2026 13:30:00 +0000" in found[0]["rule_204c-DTC-0777.eml"]


def test_recall_is_divided_over_the_loans(finops: Finops, tmp_path: Path) -> None:
    """Each loan has a notice of its own; shares that no loan covers go into one with blanks."""
    stock = {"stock_loan_available": 0, "pending_receives": 0, "box_qty": 0}
    sale = {"side": "Sell", "qty": 9000, "inventory": stock | {"recall_outstanding": 9000}}
    lots = write(
        tmp_path / "inventory.jsonl",
        {"cusip": "037833100", "kind": "RECALL", "id": "L/1", "qty": 3000, "notice_days": 2},
        {"cusip": "037833100", "kind": "RECALL", "id": "L2", "qty": 4000, "dtc": "DTC-0352",
         "notice_days": 1},
    )  # fmt: skip
    index = letters_of(finops, tmp_path, [fail("A", **sale)], "--inventory", lots)
    shares = {row["letter"].partition("-")[2][:13]: row["shares"] for row in index}
    assert shares == {"037833100-L2": "4000", "037833100-L_1": "3000", "037833100-unn": "2000"}
    text = (tmp_path / "letters" / "recall-037833100-L2.txt").read_text()
    assert "DTC participant DTC-0352" in text
    assert "1\nbusiness days" in text or "1 business days" in text


def test_recalls_of_two_fails_share_the_loans(finops: Finops, tmp_path: Path) -> None:
    """Two fails of one security never recall the same shares of a loan."""
    stock = {"stock_loan_available": 0, "pending_receives": 0, "box_qty": 0}
    sale = {"side": "Sell", "qty": 900, "inventory": stock | {"recall_outstanding": 900}}
    lots = write(
        tmp_path / "inventory.jsonl",
        {"cusip": "037833100", "kind": "RECALL", "id": "L1", "qty": 1000},
    )
    fails = [fail("A", **sale), fail("B", **sale)]
    index = letters_of(finops, tmp_path, fails, "--inventory", lots)
    assert [(row["letter"][17:], row["fail_id"], row["shares"]) for row in index] == [
        ("L1", "A", "900"),
        ("L1", "B", "100"),
        ("unnamed", "B", "800"),
    ]


def test_buy_in_notice_waits_for_its_first_day(finops: Finops, tmp_path: Path) -> None:
    """Outside CNS the notice is written from its earliest day on; before, the index says when."""
    facts = {"venue": "ex_clearing", "settlement_date": "2026-11-16"}
    given = fail("A", clock_facts=facts, age_days=1)
    early = letters_of(finops, tmp_path, [given], run="--as-of 2026-11-16T18:00")
    assert [row["why"] for row in early if not row["letter"]] == [
        "a notice of buy-in is possible from 2026-11-17 (FINRA-11810)"
    ]
    late = letters_of(finops, tmp_path, [given], run="--as-of 2026-11-17T08:00")
    assert "buy_in" in {row["kind"] for row in late}
    text = (tmp_path / "letters" / "buy_in-DTC-0443.txt").read_text()
    assert "2026-11-16" in text  # the contract
    assert "2026-11-19" in text  # the earliest buy-in


def test_loans_with_like_names_have_files_of_their_own(finops: Finops, tmp_path: Path) -> None:
    """No notice replaces another: a loan called `unnamed`, and names that differ in case."""
    stock = {"stock_loan_available": 0, "pending_receives": 0, "box_qty": 0}
    sale = {"side": "Sell", "qty": 900, "inventory": stock | {"recall_outstanding": 900}}
    lots = [
        {"cusip": "037833100", "kind": "RECALL", "id": name, "qty": 200}
        for name in ("L1", "l1", "unnamed")
    ]
    stock_file = write(tmp_path / "inventory.jsonl", *lots)
    index = letters_of(finops, tmp_path, [fail("A", **sale)], "--inventory", stock_file)
    names = [row["letter"].casefold() for row in index if row["kind"] == "recall"]
    assert len(set(names)) == len(names) == 4
    texts = [(tmp_path / "letters" / f"{row['letter']}.txt").read_text() for row in index]
    assert sum("300" in text for text in texts) == 1


def test_disputed_trade_gets_no_notice_of_buy_in(finops: Finops, tmp_path: Path) -> None:
    """A letter never says that a trade is not known while another one buys it in."""
    facts = {"venue": "ex_clearing", "settlement_date": "2026-11-16"}
    given = fail("A", clock_facts=facts, dk_reason="Price differs")
    index = letters_of(finops, tmp_path, [given], run="--as-of 2026-11-24")
    assert {row["kind"] for row in index} == {"dk", ""}
    assert any("until the trade is known" in row["why"] for row in index)


def test_cns_purchase_gets_no_bilateral_buy_in(finops: Finops, tmp_path: Path) -> None:
    """A CNS fail is bought in through NSCC: no notice, and a reason in the index."""
    given = fail("A", cns_direction="FTR", cns_position=1200, age_days=12)
    index = letters_of(finops, tmp_path, [given])
    assert {row["kind"] for row in index} == {"chaser", ""}
    assert any("through NSCC" in row["why"] for row in index)


@pytest.mark.parametrize(
    ("changes", "proposal"),
    [
        ({}, "We claim what the event pays on these shares"),
        ({"side": "Sell", "corporate_action": {"pre_event_deliverable": True}}, "before the event"),
        ({"side": "Sell", "corporate_action": {"new_cusip": "12345A106"}}, "12345A106 instead"),
    ],
)
def test_corporate_action_letter_states_the_option(
    changes: dict[str, Any], proposal: str, finops: Finops, tmp_path: Path
) -> None:
    """A purchase claims; a sale proposes option A or B of `waterfall.corporate_action`."""
    given = fail("A", **({"corporate_action": {}} | changes))
    letters_of(finops, tmp_path, [given])
    text = (tmp_path / "letters" / "corporate_action-DTC-0443.txt").read_text()
    assert proposal in text


def test_aggregated_chase_names_its_parties_from_the_record(finops: Finops, tmp_path: Path) -> None:
    """The receives after the tenth are chased in one step; --fails gives their parties."""
    receives = [
        {"dtc": f"DTC-{number:04}", "qty": 100, "age_days": 3, "settlement_type": "RVP",
         "settlement_date": "T+1", "cp_fail_rate_pct": 1, "partial_delivery_history": True}
        for number in range(1, 15)
    ]  # fmt: skip
    stock = dict.fromkeys(
        ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives"), 0
    )
    given = fail("A", side="Sell", qty=1350, inventory=stock, ftrs=receives)
    index = letters_of(finops, tmp_path, [given])
    chased = {row["participant"]: int(row["shares"]) for row in index if row["kind"] == "chaser"}
    assert sum(chased.values()) == 1350
    assert len(chased) == 14
    done = finops("letters", tmp_path / "out.jsonl", "-o", tmp_path / "alone")
    assert done.returncode == 0
    assert any("--fails" in row["why"] for row in index_of(tmp_path / "alone"))


def test_folder_with_files_is_refused_without_overwrite(finops: Finops, tmp_path: Path) -> None:
    """Letters of an earlier day never stay among new ones, and foreign files stay as they are."""
    out = EXAMPLES / "monday.expected.jsonl"
    folder = tmp_path / "letters"
    assert finops("letters", out, "-o", folder).returncode == 0
    (folder / "chaser-DTC-0001.txt").write_text("of yesterday")
    (folder / "notes.txt").write_text("mine")
    refused = finops("letters", out, "-o", folder)
    assert refused.returncode == 2
    assert b"--overwrite" in refused.stderr
    assert finops("letters", out, "-o", folder, "--overwrite").returncode == 0
    assert not (folder / "chaser-DTC-0001.txt").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert {path.stat().st_mode & 0o77 for path in folder.glob("chaser-*")} == {0}


def test_lines_without_an_answer_are_in_the_index(finops: Finops, tmp_path: Path) -> None:
    """A rejected line gets no letter, and the index says why."""
    index = letters_of(finops, tmp_path, [fail("A", qty=0), fail("B")])
    assert [(row["letter"], row["fail_id"]) for row in index] == [
        ("chaser-DTC-0443", "B"),
        ("", "A"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("firm: [a", "desk.yaml"),
        ("fax: 1", "fax"),
        ("email: nobody", "email"),
        ("- a", "keys"),
    ],
)
def test_faulty_desk_file_is_one_clear_error(
    text: str, words: str, finops: Finops, tmp_path: Path
) -> None:
    """A fault of --desk names the file, the field and the keys that it may have."""
    desk = tmp_path / "desk.yaml"
    desk.write_text(text)
    done = finops(
        "letters", EXAMPLES / "monday.expected.jsonl", "-o", tmp_path / "l", "--desk", desk
    )
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert not (tmp_path / "l").exists()


def test_unknown_kind_and_date_are_refused(finops: Finops, tmp_path: Path) -> None:
    """A kind and a date that do not exist end with 2, and the message has what is accepted."""
    out = EXAMPLES / "monday.expected.jsonl"
    for option, value, said in (("--kind", "foo", b"chaser"), ("--as-of", "soon", b"2026-11-30")):
        done = finops("letters", out, "-o", tmp_path / "l", option, value)
        assert (done.returncode, done.stdout) == (2, b"")
        assert said in done.stderr


def test_fails_of_another_run_are_refused(finops: Finops, tmp_path: Path) -> None:
    """--fails must be the input of the output, line by line."""
    done = finops(
        "letters",
        EXAMPLES / "monday.expected.jsonl",
        "--fails",
        EXAMPLES / "gridlock.jsonl",
        "-o",
        tmp_path / "letters",
    )
    assert done.returncode == 2
    assert b"answers F-1001, not G-FULL" in done.stderr


@given(text=st.text(min_size=1, max_size=60))
def test_text_of_a_party_stays_one_line_of_text(text: str) -> None:
    """A name never adds a line to a letter, a header to a message or a tag to a page."""
    row = LetterRow(fail_id=text, recipient="DTC-0001", cells={"fail_id": text, "qty": 1}, why="x")
    composer = Composer(KB.letters)
    plain = Addressee(participant="DTC-0001", name="A", contact=None, email=None)
    hostile = Addressee(participant="DTC-0001", name=text, contact=None, email=None)
    facts = {"firm": text}
    letter = composer.compose("chaser", hostile, facts, [row])
    other = composer.compose("chaser", plain, {"firm": "A"}, [row])
    assert "\n" not in letter.subject
    assert re.findall(r"<(?!mark|/mark)[^>]*>", letter.html) == re.findall(
        r"<(?!mark|/mark)[^>]*>", other.html
    )
