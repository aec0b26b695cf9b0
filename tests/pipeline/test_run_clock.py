"""The law's clock in `finops run` and `--clock` (regulatory-clock, section 12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support.clock_runs import (
    AS_OF,
    RECORDS,
    REGULATION,
    long_sale,
    personal_facts,
    run,
    write_many_sales,
)
from tests.support.ollama_models import is_warm_up
from tests.support.program import Finops
from tests.support.records import jsonl, rows


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    """Records of which the clock refuses every twentieth."""
    return write_many_sales(tmp_path)


@pytest.mark.parametrize("options", [(), REGULATION])
def test_run_with_as_of_has_a_clock_in_every_line(options: tuple[str, ...], finops: Finops) -> None:
    """Rule: the block is there in both modes, the same as that of `finops clock`, and provenance
    names mode, moment and calendar.
    """
    stdin = jsonl(long_sale("F-1"), long_sale("F-2", sale_type="short"))
    lines = run(finops, "-", *AS_OF, *options, stdin=stdin)
    blocks = [line["clock"] for line in rows(finops("clock", "-", *AS_OF, stdin=stdin).stdout)]
    assert [line["clock"] for line in lines] == blocks
    for line in lines:
        assert "clock_skipped" not in line
        assert line["provenance"]["clock"] == {
            "mode": options[1] if options else "card",
            "as_of": "2026-11-20T00:00",
            "as_of_source": "option",
            "calendar": line["clock"]["calendar"],
        }


def test_run_without_as_of_says_why_there_is_no_clock(finops: Finops) -> None:
    """Rule: without as_of the clock is null and skipped, and nothing else of the line changes."""
    given = run(finops, "-", *AS_OF, stdin=jsonl(long_sale()))[0]
    line = run(finops, "-", stdin=jsonl(long_sale()))[0]
    assert (line["clock"], line["clock_skipped"]) == (None, "no as_of")
    assert "clock" not in line["provenance"]
    assert line["status"] == "ok"
    assert (line["triage"], line["resolution"]) == (given["triage"], given["resolution"])
    of_record = run(finops, "-", stdin=jsonl(long_sale(as_of="2026-11-20")))[0]
    assert of_record["provenance"]["clock"]["as_of_source"] == "record"


def test_run_outside_the_calendar_is_a_usage_error(finops: Finops) -> None:
    """Rule: a moment for which no record can have a clock ends the run, with -q too."""
    done = finops("run", "-", "-q", "--as-of", "2035-01-02", stdin=jsonl(long_sale()))
    assert done.returncode == 2
    message = b"--as-of is 2035-01-02; accepted: a day from 2004-01-01 to 2028-12-31"
    assert message in done.stderr
    assert done.stdout == b""


def test_resumed_run_keeps_the_moment_of_its_first_part(tmp_path: Path, finops: Finops) -> None:
    """Rule: `--as-of now` is read once: the lines that a resumed run adds have the same moment."""
    source, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(jsonl(long_sale("F-1"), long_sale("F-2")))
    options = ("run", source, "--backend", "engine", "--as-of", "now", "-o", output)
    finops(*options)
    note = output.with_name("out.jsonl.run.json")
    first = rows(output.read_bytes())[0]["clock"]["as_of"]
    assert f"as of {first}:00 (local_clock)" in note.read_text("utf-8")
    earlier = note.read_text("utf-8").replace(first, "2026-11-20T08:15")
    note.write_text(earlier.replace('"complete": true', '"complete": false'), "utf-8")
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    done = finops(*options, "--resume")
    added = rows(output.read_bytes())[1]
    assert (added["clock"]["as_of"], added["clock"]["as_of_source"]) == (
        "2026-11-20T08:15",
        "local_clock",
    ), done.stderr


def test_run_by_regulation_without_as_of_rejects(finops: Finops) -> None:
    """Rule: a plan by the law's days needs the moment: such a record is rejected."""
    stdin = jsonl(long_sale("F-1"), long_sale("F-2", as_of="2026-11-20"))
    lines = run(finops, "-", *REGULATION, stdin=stdin)
    assert [line["status"] for line in lines] == ["rejected", "ok"]
    assert "as_of is missing; accepted: --as-of DATE" in lines[0]["error"]["message"]
    assert lines[0]["clock"] is None


def test_run_of_refused_facts_keeps_the_triage(finops: Finops) -> None:
    """Rule: by the cards a fact that the clock refuses leaves the triage and the plan; by the law
    the record is rejected.
    """
    stdin = jsonl(long_sale(trade_date="2026-11-15"))
    plain = run(finops, "-", *AS_OF, stdin=jsonl(long_sale()))[0]
    by_card = run(finops, "-", *AS_OF, stdin=stdin)[0]
    message = "clock_facts.trade_date is 2026-11-15; accepted: a day that trades"
    assert by_card["status"] == "ok"
    assert (by_card["triage"], by_card["resolution"]) == (plain["triage"], plain["resolution"])
    assert by_card["clock"] is None
    assert by_card["clock_skipped"].startswith(message)
    by_law = run(finops, "-", *AS_OF, *REGULATION, stdin=stdin)[0]
    assert by_law["status"] == "rejected"
    assert by_law["error"]["problems"][0]["path"] == "/clock_facts/trade_date"


def test_run_by_regulation_plans_against_the_law(finops: Finops) -> None:
    """Rule: with 0 days by the law instead of 10 by the card, what is in hand is delivered today,
    the depot comes too late, and recall and borrow run in parallel. Triage stays the card's.
    """
    stdin = jsonl(long_sale())
    by_card = run(finops, "-", *AS_OF, stdin=stdin)[0]
    by_law = run(finops, "-", *AS_OF, *REGULATION, stdin=stdin)[0]
    assert (by_law["clock"]["deadline_days"], by_law["clock"]["binding"]) == (0, "SHO-204(a)(1)")
    assert by_law["triage"] == by_card["triage"]
    assert by_card["triage"]["deadline"] == "T+13"
    plans = by_card["resolution"], by_law["resolution"]
    assert [[step["action"] for step in plan["resolution_steps"]] for plan in plans] == [
        ["APPLY_BOX", "DEPOT_MOVEMENT"],
        ["APPLY_BOX", "PARTIAL_DELIVER"],
    ]
    assert [plan["fallback_qty"] for plan in plans] == [1000, 4000]
    assert [plan["secondary_fallback"] for plan in plans] == ["NONE", "SOURCE_BORROW"]
    rationale = by_law["resolution"]["resolution_steps"][1]["rationale"]
    assert rationale == "deadline is today: deliver today what is in hand"


def test_run_by_regulation_without_a_duty_has_no_deadline(finops: Finops) -> None:
    """Rule: no binding duty means no clock: nothing is hurried, and no depot is asked."""
    line = run(finops, "-", *AS_OF, *REGULATION, stdin=jsonl(long_sale(venue="ex_clearing")))[0]
    assert (line["clock"]["binding"], line["clock"]["deadline_days"]) == (None, None)
    steps = [step["action"] for step in line["resolution"]["resolution_steps"]]
    assert steps == ["APPLY_BOX"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["card", "regulation"])
def test_run_clock_bytes_do_not_depend_on_workers(mode: str, fails: Path, finops: Finops) -> None:
    """Rule: one worker and two write the same bytes."""
    outputs = {
        finops(
            *("run", fails, "--backend", "engine", "--no-timing", *AS_OF, "--clock", mode),
            *("--workers", workers),
        ).stdout
        for workers in (1, 2)
    }
    assert len(outputs) == 1
    assert outputs.pop().count(b"\n") == RECORDS


def test_run_summary_counts_what_the_card_puts_later(fails: Path, finops: Finops) -> None:
    """Rule: stderr says how many records the cards put later than the law."""
    done = finops("run", fails, "--backend", "engine", "--no-timing", *AS_OF)
    assert b"law's clock" in done.stderr
    assert b"in 57 of 57 records" in done.stderr
    without = finops("run", fails, "--backend", "engine", "--no-timing")
    assert b"law's clock" not in without.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--as-of", "2026-11-23"), "card, as of 2026-11-23T00:00:00 (option)"),
        ((), "card, as of record"),
        ((*AS_OF, *REGULATION), "regulation, as of 2026-11-20T00:00:00 (option)"),
        ((*AS_OF, "--calendar", "desk.toml"), "card, as of 2026-11-20T00:00:00 (option), calendar"),
    ],
)
def test_resume_with_another_clock_is_refused(
    changed: tuple[str, ...],
    said: str,
    fails: Path,
    finops: Finops,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule: --resume goes on only with the moment, the mode and the calendar that the run has."""
    monkeypatch.chdir(fails.parent)
    Path("desk.toml").write_text("2026-12-09 = { trading = false }\n", "utf-8")
    command = ("run", fails, "-o", "out.jsonl", "--backend", "engine", "--no-timing")
    finops(*command, *AS_OF)
    output = Path("out.jsonl")
    whole = output.read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:20]) + b'{"torn')
    refused = finops(*command, *changed, "--resume")
    assert refused.returncode == 2
    assert b"the clock (--clock, --as-of, --calendar): was card, as of" in refused.stderr
    assert f"now {said}".encode() in refused.stderr
    assert finops(*command, *AS_OF, "--resume").returncode == 0
    assert output.read_bytes() == whole


@pytest.mark.slow
def test_prompts_of_models_do_not_hold_clock_facts(
    server: FakeOllama, quick_kb: Path, tmp_path: Path, finops: Finops
) -> None:
    """Rule: no model reads the clock's facts: prompts are the same with and without them."""
    prompts = []
    facts = {"sale_type_evidence": "order 4711", "events": personal_facts()["events"]}
    for given in (facts, dict.fromkeys(("settlement_date", "sale_type"))):
        before = len(server.received)
        file = tmp_path / "fails.jsonl"
        file.write_bytes(jsonl(long_sale(**given)))
        done = finops(
            *("--kb", quick_kb, "run", file, "--backend", "ollama", "--host", server.url),
            *("--guard", "off", "--no-timing", *AS_OF, *REGULATION),
        )
        assert done.returncode == 1, done.stderr  # the plan of the rules stands
        sent = [each for each in server.received[before:] if not is_warm_up(each)]
        prompts.append([each.prompt for each in sent])
    assert len(prompts[0]) == 2
    text = " ".join(prompts[0])
    for word in ("4711", "jane", "clock", "sale_type", "2026-11", "SHO-204", "deadline_days"):
        assert word not in text
    assert prompts[0] == prompts[1]
