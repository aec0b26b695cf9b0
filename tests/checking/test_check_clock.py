"""`finops check --fails` computes the clock of each line again (kb: `check.clock`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support.clock_runs import (
    AS_OF,
    REGULATION,
    Object,
    long_sale,
    personal_facts,
    run,
    write_many_sales,
)
from tests.support.program import Finops
from tests.support.records import jsonl, rows


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    """Records of which the clock refuses every twentieth."""
    return write_many_sales(tmp_path)


@pytest.mark.parametrize("options", [AS_OF, (*AS_OF, *REGULATION), ()])
def test_check_accepts_the_lines_of_both_modes(
    options: tuple[str, ...], fails: Path, finops: Finops
) -> None:
    """Rule: `finops check --fails` computes the clock again and finds it as it is."""
    output = finops("run", fails, "--backend", "engine", "--no-timing", *options).stdout
    done = finops("check", "-", "--fails", fails, stdin=output)
    assert done.returncode == 0, done.stdout[:500]


def test_check_accepts_the_lines_of_a_desk_calendar(fails: Path, finops: Finops) -> None:
    """Rule: with the desk's file the lines are checked by the calendar that made them."""
    desk = fails.with_name("desk.toml")
    desk.write_text("2026-11-20 = { trading = false }\n", "utf-8")
    calendar = ("--calendar", desk)
    output = finops("run", fails, "--backend", "engine", "--no-timing", *AS_OF, *calendar).stdout
    done = finops("check", "-", "--fails", fails, *calendar, stdin=output)
    assert done.returncode == 0, done.stdout[:500]
    other = finops("check", "-", "--fails", fails, stdin=output)
    assert other.returncode == 1
    assert b"clock.calendar" in other.stdout


def alter_due(line: Object) -> None:
    line["clock"]["obligations"][0]["due_date"] = "2026-11-23"


def alter_state(line: Object) -> None:
    line["clock"]["obligations"][0]["state"] = "running"


def drop_obligation(line: Object) -> None:
    del line["clock"]["obligations"][0]


def alter_binding(line: Object) -> None:
    line["clock"]["deadline_days"] = 5


def alter_box(line: Object) -> None:
    line["clock"]["penalty_boxes"][0]["preborrow_required"] = True


def alter_digest(line: Object) -> None:
    line["clock"]["calendar"]["sha256"] = "0" * 64


def alter_moment(line: Object) -> None:
    line["clock"]["as_of"] = "2026-11-19T00:00"


def break_moment(line: Object) -> None:
    line["clock"]["as_of"] = "0001-01-01T00:00:00+10:00"


def drop_clock(line: Object) -> None:
    line["clock"], line["clock_skipped"] = None, "no as_of"


def add_field(line: Object) -> None:
    line["clock"]["note"] = "in time"


@pytest.mark.parametrize(
    ("alter", "mode"),
    [
        (alter_due, "card"),
        (alter_due, "regulation"),
        (alter_state, "card"),
        (drop_obligation, "card"),
        (alter_binding, "regulation"),
        (alter_box, "card"),
        (alter_digest, "card"),
        (alter_moment, "card"),
        (break_moment, "card"),
        (drop_clock, "regulation"),
        (add_field, "card"),
    ],
)
def test_check_finds_an_altered_clock(
    alter: Callable[[Object], None], mode: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a field of the clock that the record does not give is found, in both modes."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale()))
    output = finops("run", file, "--backend", "engine", "--no-timing", *AS_OF, "--clock", mode)
    line = json.loads(output.stdout)
    assert finops("check", "-", "--fails", file, stdin=output.stdout).returncode == 0
    alter(line)
    done = finops("check", "-", "--fails", file, stdin=jsonl(line))
    assert done.returncode == 1
    assert b"check.clock" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alter_due, 'clock.obligations.0.due_date is \\"2026-11-23\\"; the record gives'),
        (alter_box, "clock.penalty_boxes.0.preborrow_required is true; the record gives false"),
        (
            lambda line: line["clock"]["obligations"].append({}),
            "is an empty object; the record gives none",
        ),
        (
            lambda line: line["clock"]["obligations"].pop(),
            " is missing; the record gives an object with ",
        ),
        (
            lambda line: line["clock"].update(deadline_days=False),
            "clock.deadline_days is false; the record gives 0",
        ),
    ],
)
def test_check_names_the_first_difference_with_its_path(
    change: Callable[[Object], Object | None], message: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: the message names the value that differs, not the list that holds it."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale()))
    line = json.loads(finops("run", file, "--backend", "engine", "--no-timing", *AS_OF).stdout)
    change(line)
    done = finops("check", "-", "--fails", file, stdin=jsonl(line))
    assert done.returncode == 1
    assert message.encode() in done.stdout, done.stdout


def test_guard_masks_the_texts_that_the_clock_repeats(tmp_path: Path, finops: Finops) -> None:
    """Rule: evidence, names of events and of broker-dealers are masked before the clock is made,
    and the check accepts the line.
    """
    pytest.importorskip("presidio_analyzer")
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(**personal_facts())))
    options = ("--backend", "engine", "--no-timing", "--as-of", "2026-11-24")
    plain = finops("run", file, *options).stdout
    assert plain.count(b"jane.doe@bank.com") >= 4
    masked = finops("run", file, *options, "--guard", "on").stdout
    assert b"jane" not in masked
    assert masked.count(b"[EMAIL]") >= 4
    assert rows(masked)[0]["provenance"]["masked"] == ["EMAIL"]
    done = finops("check", "-", "--fails", file, stdin=masked)
    assert done.returncode == 0, done.stdout[:2000]
    altered = masked.replace(b'"due_date":"2026-11-20"', b'"due_date":"2026-11-27"')
    assert altered != masked
    assert finops("check", "-", "--fails", file, stdin=altered).returncode == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trade_date": "2026-11-13"}, "status is rejected, but the input is usable"),
        ({"trade_date": "2026-11-14"}, "status is rejected, but the input is usable"),
        ({"trade_date": "2026-11-15"}, ""),
    ],
)
def test_check_accepts_a_rejection_for_its_reason_only(
    change: Object, message: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a line that the clock rejected is good if the clock refuses the record so."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(trade_date="2026-11-15")))
    output = finops("run", file, "--backend", "engine", *AS_OF, *REGULATION).stdout
    file.write_bytes(jsonl(long_sale(**change)))
    done = finops("check", "-", "--fails", file, stdin=output)
    assert done.returncode == (1 if message else 0)
    assert message.encode() in done.stdout


@pytest.mark.parametrize(
    ("facts", "as_of"),
    [
        ({}, ()),
        ({"settlement_date": None}, ("--as-of", "2004-01-02")),
        ({}, ("--as-of", "2035-01-02")),
        ({"as_of": "2026-11-20", "settlement_date": "2026-11-11"}, ()),
        ({"as_of": "2003-11-20"}, ()),
    ],
)
def test_check_accepts_what_regulation_rejects(
    facts: Object, as_of: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    """Rule: a record without as_of, or with days outside the calendar, is rejected rightly."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(**facts)))
    output = finops("run", file, "--backend", "engine", "--no-timing", *as_of, *REGULATION).stdout
    assert rows(output)[0]["status"] == "rejected"
    done = finops("check", "-", "--fails", file, stdin=output)
    assert done.returncode == 0, done.stdout


def test_check_finds_a_clock_that_is_left_out(tmp_path: Path, finops: Finops) -> None:
    """Rule: a record with as_of has a clock, even where the line says that it has none."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(as_of="2026-11-20")))
    line = run(finops, "-", stdin=jsonl(long_sale()))[0]
    done = finops("check", "-", "--fails", file, stdin=json.dumps(line, default=float).encode())
    assert done.returncode == 1
    assert b"clock is null; the record gives" in done.stdout


def test_check_raw_plans_by_the_clock_of_the_line(
    server: FakeOllama, quick_kb: Path, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a reply that the run replaced, because the law's days are fewer, has findings."""
    file, kb = tmp_path / "fails.jsonl", ("--kb", quick_kb)
    file.write_bytes(jsonl(long_sale()))
    output = finops(
        *(*kb, "run", file, "--backend", "ollama", "--host", server.url, "--keep-raw"),
        *("--guard", "off", *AS_OF, *REGULATION),
    ).stdout
    assert rows(output)[0]["status"] == "fallback"
    assert finops(*kb, "check", "-", "--fails", file, stdin=output).returncode == 0
    raw = finops(*kb, "check", "-", "--raw", "--fails", file, stdin=output)
    assert raw.returncode == 1
    assert b"waterfall.fallback" in raw.stdout


def test_guard_keeps_two_masked_broker_dealers_apart(tmp_path: Path, finops: Finops) -> None:
    """Rule: names that mask to one placeholder stay two holders, and one of them stays exempt."""
    pytest.importorskip("presidio_analyzer")
    file, desk = tmp_path / "fails.jsonl", tmp_path / "desk.toml"
    events = [
        {"type": "allocation", "at": "2026-11-18", "qty": qty, "to": name}
        for qty, name in ((500, "a.b@bank.com"), (700, "c.d@bank.com"))
    ]
    file.write_bytes(jsonl(long_sale(events=events)))
    desk.write_text('exempt = ["a.b@bank.com"]\n', "utf-8")
    options = ("--as-of", "2026-11-24", "--calendar", desk, "--guard", "on")
    line = run(finops, file, *options)[0]
    boxes = [(box["holder"], box["state"]) for box in line["clock"]["penalty_boxes"]]
    assert boxes == [("participant", "open"), ("[EMAIL]", "none"), ("[EMAIL]", "open")]
    stdin = json.dumps(line, default=float).encode()
    assert finops("check", "-", "--fails", file, "--calendar", desk, stdin=stdin).returncode == 0


def test_evidence_is_withheld_without_the_guard(
    tmp_path: Path, finops_without_guard: Finops
) -> None:
    """Rule: where --guard on finds no guard, the evidence of the sale type is withheld as notes."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(sale_type_evidence="order of Jane Doe")))
    done = finops_without_guard(
        *("run", file, "--backend", "engine", "--no-timing", *AS_OF, "--guard", "on")
    )
    assert b"Jane" not in done.stdout
    assert rows(done.stdout)[0]["clock"]["binding"] == "SHO-204(a)(1)"
    assert finops_without_guard("check", "-", "--fails", file, stdin=done.stdout).returncode == 0


def test_names_of_events_are_withheld_without_the_guard(
    tmp_path: Path, finops_without_guard: Finops
) -> None:
    """Rule: ids of events and names of broker-dealers are text too, and a short one changes no
    date or number.
    """
    facts = personal_facts()
    facts["events"][0]["id"] = "1"
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(long_sale(**facts)))
    run_it = ("run", file, "--backend", "engine", "--no-timing", "--as-of", "2026-11-24")
    plain = rows(finops_without_guard(*run_it).stdout)[0]["clock"]
    done = finops_without_guard(*run_it, "--guard", "on")
    assert b"jane" not in done.stdout
    clock = rows(done.stdout)[0]["clock"]
    for each, shown in zip(plain["obligations"], clock["obligations"], strict=True):
        for field in ("rule", "due_date", "basis", "qty", "open_qty", "state"):
            assert each[field] == shown[field]
    assert finops_without_guard("check", "-", "--fails", file, stdin=done.stdout).returncode == 0


PERSONAL = jsonl(
    long_sale("mail-jane.doe@bank.com", **personal_facts()),
    long_sale("F-2", events=[{"type": "notice", "at": "2026-11-20", "rule": "jane.doe@x.com"}]),
    long_sale("F-3", venue="jane.doe@bank.com"),
)
"""Personal data in each text that the lines, the agenda or the calendar file repeat."""
FORMS = pytest.mark.parametrize("output", ["jsonl", "ics", "agenda"])


@FORMS
def test_clock_command_masks_personal_data(output: str, finops: Finops) -> None:
    """Rule: each form of `finops clock` takes the guard; without it texts stay as given."""
    pytest.importorskip("presidio_analyzer")
    call = ("clock", "-", "--as-of", "2026-11-24", "--format", output)
    assert b"jane" in finops(*call, stdin=PERSONAL).stdout
    masked = finops(*call, "--guard", "on", stdin=PERSONAL).stdout
    assert b"[EMAIL]" in masked
    assert b"jane" not in masked


@FORMS
def test_clock_command_without_the_scanner_withholds(
    output: str, finops_without_guard: Finops
) -> None:
    """Rule: without the scanner `--guard on` withholds texts, and `require` ends with 3."""
    call = ("clock", "-", "--as-of", "2026-11-24", "--format", output)
    withheld = finops_without_guard(*call, "--guard", "on", stdin=PERSONAL).stdout
    assert b"[WITHHELD]" in withheld
    assert b"jane" not in withheld.replace(b"mail-jane", b"")  # a fail_id is a reference
    assert finops_without_guard(*call, "--guard", "require", stdin=PERSONAL).returncode == 3
