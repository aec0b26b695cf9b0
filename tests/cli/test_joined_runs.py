"""Runs whose records get facts from other files, and receives of the same file as sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

MSFT, AAPL = "594918104", "037833100"
STOCK = {"box_qty": 0, "stock_loan_available": 0, "recall_outstanding": 0, "pending_receives": 0}
ENGINE = ("--backend", "engine", "--no-timing")
HEADER = "Ref,CUSIP,B/S,Qty,Broker,Settle Date,MV,Reg SHO\n"
BLOTTER = (
    HEADER
    + f'A1,{MSFT},S,"5,000",352,2026-11-13,"$2,100,000",N\n'
    + f'A2,{MSFT},B,"3,000",161,2026-11-12,"$1,260,000",N\n'
    + f'A3,{AAPL},S,"1,200",5,2026-11-16,"$300,000",N\n'
)
INVENTORY = f"cusip,qty\n{MSFT},1000\n"
HISTORY = "date,counterparty,trades,fails\n2026-11-13,352,100,4\n"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a blotter, a stock file and a history of counterparties."""
    (tmp_path / "blotter.csv").write_text(BLOTTER)
    (tmp_path / "stock.csv").write_text(INVENTORY)
    (tmp_path / "history.csv").write_text(HISTORY)
    return tmp_path


def joins(desk: Path) -> tuple[str | Path, ...]:
    return (
        *("--inventory", desk / "stock.csv", "--inventory-as-of", "2026-11-16"),
        *("--counterparty-history", desk / "history.csv", "--as-of", "2026-11-17", "--accept"),
    )


def delivery(name: str = "D", **changes: Any) -> dict[str, Any]:
    return a_fail(
        **{"fail_id": name, "qty": 500, "inventory": STOCK, "inventory_coverage_pct": 0, **changes}
    )


def receive(name: str = "R", **changes: Any) -> dict[str, Any]:
    side = {"side": "Buy", "cns_direction": "FTR", "cns_position": 500}
    return a_fail(**{"fail_id": name, "qty": 500, "counterparty": "DTC-0161", **side, **changes})


def test_blotter_gets_stock_rates_and_receives(desk: Path, finops: Finops) -> None:
    """Coverage, rate and sources come from the files; each line says what was joined or assumed."""
    done = finops("run", desk / "blotter.csv", *joins(desk), *ENGINE)
    assert done.returncode == 0, done.stderr
    first, second, third = rows(done.stdout)
    assert first["headline"]["text"].startswith(
        f"Deliver 1,000 shares of {MSFT} today from the box, then chase DTC-0161 for 3,000 shares;"
    )
    assert "cp_fail_rate_pct" in first["origin"]["derived"]
    assert "cp_fail_rate_pct" in second["origin"]["assumed"]
    assert "inventory" in third["origin"]["assumed"]
    assert first["triage"]["score_components"]["cp_history_factor"] == 60
    for text in ("records with its fail rate: 1", "taken for empty: 1", "receives of the file: 1"):
        assert text in " ".join(done.stderr.decode().split())


def test_check_joins_the_same_facts(desk: Path, finops: Finops) -> None:
    """The records of a run are joined again for the check; other facts are findings."""
    output = desk / "out.jsonl"
    finops("run", desk / "blotter.csv", *joins(desk), *ENGINE, "-o", output)
    args = ("check", output, "--fails", desk / "blotter.csv")
    assert finops(*args, *joins(desk)).returncode == 0
    assert finops(*args, *joins(desk), "--no-receives").returncode == 1


def test_import_writes_the_joined_records(desk: Path, finops: Finops) -> None:
    """`import` and `run FILE` give the same plans."""
    records = desk / "records.jsonl"
    finops("import", "csv", desk / "blotter.csv", *joins(desk), "-o", records)
    later = finops("run", records, *ENGINE, "--as-of", "2026-11-17", "--no-receives")
    at_once = finops("run", desk / "blotter.csv", *joins(desk), *ENGINE)
    plans = [
        [(row["triage"], row["resolution"]) for row in rows(each.stdout)]
        for each in (later, at_once)
    ]
    assert plans[0] == plans[1]


def test_jsonl_receives_become_sources(tmp_path: Path, finops: Finops) -> None:
    """A receive of a JSONL file is chased for the delivery; `--no-receives` leaves it apart."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(receive(), delivery()))
    for options, chased in (((), ["DTC-0161"]), (("--no-receives",), [])):
        [_, line] = rows(finops("run", file, *ENGINE, *options).stdout)
        assert [step["dtc"] for step in line["resolution"]["resolution_steps"]] == chased


@pytest.mark.parametrize(
    "facts",
    [
        {"side": "Sell", "cns_direction": "FTD"},
        {"side": "Sell", "cns_direction": "N_A", "cns_position": None},
        {"side": None, "cns_direction": "FTD"},
        {"side": None, "cns_direction": None, "cns_position": -500},
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_delivery_gets_receives_however_its_side_is_said(
    facts: dict[str, Any], is_first: bool, tmp_path: Path, finops: Finops
) -> None:
    """A delivery gets the receives before and behind it, also where its side is derived."""
    given = delivery(**facts)
    record = {
        name: value
        for name, value in given.items()
        if value is not None or name not in ("side", "cns_direction")
    }
    apart = [receive("R2", cusip=AAPL), delivery("D2", cusip="594918302")]
    lines = [record, receive("R1")] if is_first else [receive("R1"), record]
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(*apart, *lines))
    done = finops("run", file, *ENGINE)
    plans = {row["fail_id"]: row["resolution"] for row in rows(done.stdout)}
    assert [step["dtc"] for step in plans["D"]["resolution_steps"]] == ["DTC-0161"]
    assert plans["D2"]["resolution_steps"] == []
    text = (
        "receives of the file: 1; deliveries in the same CUSIP that got them as sources or related"
        " fails: 1"
    )
    assert text in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize("twice", [b'"cusip": 1', b'"side": []', b'"cns_direction": 5'])
def test_receive_with_a_name_given_twice_is_a_source(
    twice: bytes, tmp_path: Path, finops: Finops
) -> None:
    """The last value of a name counts, as everywhere, whatever the first one is."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(b"{" + twice + b"," + jsonl(receive())[1:] + jsonl(delivery()))
    [_, line] = rows(finops("run", file, *ENGINE).stdout)
    assert [step["dtc"] for step in line["resolution"]["resolution_steps"]] == ["DTC-0161"]


def test_cusip_of_another_type_is_a_rejected_line(tmp_path: Path, finops: Finops) -> None:
    """A record whose facts are joined may have any CUSIP: its neighbours are answered."""
    file, stock = tmp_path / "fails.jsonl", tmp_path / "stock.csv"
    file.write_bytes(jsonl(receive(), delivery("D1", cusip=[MSFT]), delivery("D2")))
    stock.write_text(f"cusip,qty\n{MSFT},0\n")
    done = finops("run", file, *ENGINE, "--inventory", stock)
    assert [row["status"] for row in rows(done.stdout)] == ["ok", "rejected", "ok"], done.stderr


def test_receives_without_a_delivery_are_not_told(tmp_path: Path, finops: Finops) -> None:
    """Receives and deliveries of other securities have nothing to do with each other."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(receive(), delivery(cusip=AAPL)))
    assert b"receives of the file" not in finops("run", file, *ENGINE).stderr


def test_receives_of_a_pipe_stay_apart(finops: Finops) -> None:
    """A pipe is read once: stderr says so, and the delivery has no source."""
    done = finops("run", "-", *ENGINE, stdin=jsonl(receive(), delivery()))
    assert rows(done.stdout)[1]["resolution"]["resolution_steps"] == []
    assert "a pipe is read once" in " ".join(done.stderr.decode().split())


def test_conflicting_inventory_rejects_the_record(tmp_path: Path, finops: Finops) -> None:
    """A record that contradicts the stock file is rejected under its name; others go on."""
    file, stock = tmp_path / "fails.jsonl", tmp_path / "stock.csv"
    file.write_bytes(jsonl(delivery("D1"), delivery("D2", cusip=AAPL)))
    stock.write_text(f"cusip,qty\n{MSFT},7\n")
    done = finops("run", file, *ENGINE, "--inventory", stock)
    assert done.returncode == 1
    first, second = rows(done.stdout)
    assert (first["fail_id"], first["status"], second["status"]) == ("D1", "rejected", "ok")
    [problem] = first["error"]["problems"]
    assert (problem["rule"], problem["value"]) == ("book.snapshot_conflict", '"0"')


@pytest.mark.parametrize(
    "origin",
    [None, {}, {"joined": "x", "assumed": 5}, {"joined": {"a": 1}, "derived": "qty"}],
)
def test_joined_facts_are_named_in_any_origin(origin: Any, tmp_path: Path, finops: Finops) -> None:
    """An origin may hold anything: the joined facts are named, and the run goes on."""
    record = delivery("D1", origin=origin, cp_fail_rate_pct=1)
    del record["inventory"]
    del record["inventory_coverage_pct"]
    file, stock, written = (tmp_path / name for name in ("f.jsonl", "stock.csv", "joined.jsonl"))
    file.write_bytes(jsonl(record, delivery("D2", cusip=AAPL)))
    stock.write_text(f"cusip,qty\n{MSFT},500\n{AAPL},0\n")
    done = finops("run", file, *ENGINE, "--inventory", stock, "-o", written)
    first, second = rows(written.read_bytes())
    assert (first["status"], second["status"]) == ("ok", "ok"), done.stderr
    assert first["origin"]["derived"] == ["inventory_coverage_pct"]


def test_workers_and_resume_give_equal_bytes(tmp_path: Path, finops: Finops) -> None:
    """The lines do not depend on the number of workers, nor on an interruption."""
    file, stock = tmp_path / "fails.jsonl", tmp_path / "stock.csv"
    stock.write_text(f"cusip,qty\n{MSFT},300\n")
    records = [delivery(f"D{n}") if n % 2 else receive(f"R{n}", qty=n + 1) for n in range(80)]
    for record in records:
        record.pop("inventory", None)
    file.write_bytes(jsonl(*records))
    options = (*ENGINE, "--inventory", stock)
    one = finops("run", file, *options).stdout
    assert finops("run", file, *options, "--workers", "2").stdout == one
    output = tmp_path / "out.jsonl"
    finops("run", file, *options, "-o", output)
    note = tmp_path / "out.jsonl.run.json"
    kept = json.loads(note.read_text())
    assert output.read_bytes() == one
    output.write_bytes(b"".join(one.splitlines(keepends=True)[:17]))
    note.write_text(json.dumps({**kept, "complete": False} if "complete" in kept else kept))
    finops("run", file, *options, "-o", output, "--resume")
    assert output.read_bytes() == one


def test_resume_refuses_another_stock(tmp_path: Path, finops: Finops) -> None:
    """The note of a run holds the content of the joined files."""
    file, stock, output = (tmp_path / name for name in ("fails.jsonl", "stock.csv", "out.jsonl"))
    record = delivery()
    del record["inventory"]
    file.write_bytes(jsonl(record, record | {"fail_id": "D2"}))
    stock.write_text(f"cusip,qty\n{MSFT},300\n")
    finops("run", file, *ENGINE, "--inventory", stock, "-o", output)
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    stock.write_text(f"cusip,qty\n{MSFT},301\n")
    done = finops("run", file, *ENGINE, "--inventory", stock, "-o", output, "--resume")
    assert done.returncode == 2
    assert b"joined" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--inventory-as-of", "2026-11-16"), "without --inventory"),
        (("--inventory", "{stock}", "--inventory-as-of", "2026-11-10", "--as-of", "2026-11-17"),
         "--allow-stale"),
        (("--inventory", "missing.csv"), "missing.csv"),
    ],
)  # fmt: skip
def test_unusable_join_ends_with_a_cure(
    desk: Path, finops: Finops, options: tuple[str, ...], words: str
) -> None:
    """A file that cannot be joined stops the run before a line is written."""
    given = [each.format(stock=desk / "stock.csv") for each in options]
    done = finops("run", desk / "blotter.csv", "--accept", *ENGINE, *given)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in " ".join(done.stderr.decode().split())


def test_allow_stale_uses_an_older_inventory(desk: Path, finops: Finops) -> None:
    """An old inventory is used when the desk says so, and stderr names its day."""
    stock = ("--inventory", desk / "stock.csv", "--inventory-as-of", "2026-11-10")
    args = ("run", desk / "blotter.csv", "--accept", *ENGINE, "--as-of", "2026-11-17", *stock)
    done = finops(*args, "--allow-stale")
    assert done.returncode == 0
    assert "of 2026-11-10" in " ".join(done.stderr.decode().split())
