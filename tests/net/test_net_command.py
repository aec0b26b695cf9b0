"""`finops net`: the object it prints, its words, hostile input, missing packages, its check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

LEGS = EXAMPLES / "net" / "legs.jsonl"
BALANCES = EXAMPLES / "net" / "balances.jsonl"
OWN = EXAMPLES / "net" / "own.jsonl"
GOOD = {"id": "o1", "from": "A", "to": "B", "asset": "594918104", "qty": 5}


def write(path: Path, *lines: Any) -> Path:
    """Write lines of JSON; text stays as it is."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_example_settles_the_circle(finops: Finops) -> None:
    """Rule: stdout has one object in the order of the specification; stderr says it in words."""
    done = finops("net", LEGS, "--balances", BALANCES)
    [answer] = rows(done.stdout)
    assert done.returncode == 0
    assert list(answer) == [
        *("status", "mode", "objective", "settles", "count", "value", "alone", "cycles", "after"),
        *("proof", "proposal"),
    ]
    assert [each["id"] for each in answer["settles"]] == ["o1", "o2", "o3"]
    said = done.stderr.decode()
    assert said.startswith("3 of 5 legs settle together: 6,316,000.00 in cash.\n")
    assert "DTC-0161 -> DTC-0352 -> DTC-0443 -> DTC-0161" in said
    assert max(map(len, said.splitlines())) < 80
    assert finops("net", LEGS, "--balances", BALANCES, "-q").stderr == b""


def test_order_of_lines_changes_no_byte(finops: Finops, tmp_path: Path) -> None:
    """Rule: permuted legs and balances, stdin, CSV and a repeated run give equal bytes."""
    expected = finops("net", LEGS, "--balances", BALANCES, "-q").stdout
    legs, held = LEGS.read_text().splitlines(), BALANCES.read_text().splitlines()
    for seed in range(4):
        Random(seed).shuffle(legs)
        Random(seed).shuffle(held)
        given = write(tmp_path / "legs.jsonl", *legs)
        balances = write(tmp_path / "held.jsonl", *held)
        assert finops("net", given, "--balances", balances, "-q").stdout == expected
    piped = finops("net", "-", "--balances", BALANCES, "-q", stdin=LEGS.read_bytes())
    assert piped.stdout == expected
    names = ("id", "from", "to", "asset", "qty", "cash")
    lines = [",".join(str(json.loads(line)[name]) for name in names) for line in legs]
    table = write(tmp_path / "legs.csv", ",".join(names), *lines)
    assert finops("net", table, "--balances", BALANCES, "-q").stdout == expected


FAULTS = [
    ({**GOOD, "qty": 0}, "qty is 0"),
    ({**GOOD, "qty": 10**15 + 1}, "accepted: a whole number from 1 to 1,000,000,000,000,000"),
    ({**GOOD, "qty": "5"}, "qty is"),
    ({**GOOD, "qty": 1.5}, "qty is 1.5"),
    ({**GOOD, "qty": True}, "qty is true"),
    ({**GOOD, "cash": -1}, "cash is -1"),
    ({**GOOD, "to": "A"}, "a party other than `from`"),
    ({**GOOD, "asset": "CASH", "cash": 3}, "the asset is CASH"),
    ({**GOOD, "from": ""}, "from is"),
    ({**GOOD, "form": "A"}, "did you mean from?"),
    ({**GOOD, "from": "A "}, "a name without blanks around it"),
    ({**GOOD, "asset": "Cash"}, "CASH, or the name of a security"),
    ({"id": "o1"}, "from is missing"),
    ("[1]", "one JSON object per line"),
    ("{", "not JSON"),
    ('{"id": "o1", "qty": 1e999999999}', "qty is 1E+999999999"),
]


@pytest.mark.parametrize(("line", "said"), FAULTS)
def test_faulty_leg_ends_with_2(line: Any, said: str, finops: Finops, tmp_path: Path) -> None:
    """Rule: nothing is written where a leg cannot be read; the message names line and value."""
    given = write(tmp_path / "legs.jsonl", {**GOOD, "id": "x"}, line)
    out = tmp_path / "net.json"
    done = finops("net", given, "-o", out)
    assert done.returncode == 2
    assert done.stdout == b""
    assert not out.exists()
    text = done.stderr.decode()
    assert f"{given}:2: " in text or "line 2: " in text
    assert said in text
    assert "fix: correct these lines" in text


def test_all_faults_are_listed_at_once(finops: Finops, tmp_path: Path) -> None:
    """Rule: a repeated id, an unknown field and a wrong number are named together, by line."""
    given = write(tmp_path / "legs.jsonl", GOOD, GOOD, {**GOOD, "id": "o2", "qty": -1, "x": 1})
    text = finops("net", given).stderr.decode()
    assert 'line 2: id is "o1"' in text
    assert "line 3: qty is -1" in text
    assert "line 3: x is not a known field" in text


def test_faulty_balances_end_with_2(finops: Finops, tmp_path: Path) -> None:
    """Rule: an account has one balance, of 0 or more."""
    one = {"party": "A", "asset": "CASH", "qty": 5}
    for lines in ((one, one), ({**one, "qty": -1},), ({**one, "cash": 1},)):
        balances = write(tmp_path / "held.jsonl", *lines)
        assert finops("net", LEGS, "--balances", balances).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((LEGS, "--mode", "half"), "Expected one of: whole, partial"),
        ((LEGS, "--objective", "size"), "Expected one of: value, count"),
        ((LEGS, "--own", "DTC-0001"), "no leg names"),
        (("missing.jsonl",), "No such file"),
        ((LEGS, "--balances", "missing.jsonl"), "cannot be read"),
    ],
)
def test_wrong_option_names_what_is_accepted(
    arguments: tuple[Any, ...], said: str, finops: Finops
) -> None:
    """Rule: an option or a file that cannot be used ends with 2 and a cure."""
    done = finops("net", *arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert "fix: " in done.stderr.decode()


def test_empty_file_and_output_in_place_are_refused(finops: Finops, tmp_path: Path) -> None:
    """Rule: no legs are no answer, and an output never replaces an input or data unasked."""
    for empty in (write(tmp_path / "legs.jsonl"), write(tmp_path / "blank.jsonl", "", " ")):
        done = finops("net", empty)
        assert (done.returncode, b"has no legs" in done.stderr) == (2, True)
    done = finops("net", EXAMPLES / "monday.jsonl")
    assert (done.returncode, b"give --from-fails" in done.stderr) == (2, True)
    legs = write(tmp_path / "own.jsonl", *OWN.read_text().splitlines())
    assert finops("net", legs, "-o", legs).returncode == 2
    out = tmp_path / "net.json"
    assert finops("net", legs, "-o", out, "-q").returncode == 0
    assert finops("net", legs, "-o", out, "-q").returncode == 2
    assert finops("net", legs, "-o", out, "-q", "--overwrite").returncode == 0


def test_partial_net_of_two_securities_is_refused(finops: Finops, tmp_path: Path) -> None:
    """Rule: the message names the securities."""
    given = write(tmp_path / "legs.jsonl", GOOD, {**GOOD, "id": "o2", "asset": "037833100"})
    done = finops("net", given, "--mode", "partial")
    assert done.returncode == 2
    assert b"037833100, 594918104" in done.stderr


def test_partial_net_says_that_cash_is_left_out(finops: Finops, tmp_path: Path) -> None:
    """Rule: what is assumed about cash is said, and assets that are no CUSIP are named."""
    pytest.importorskip("networkx")
    legs = [{**GOOD, "cash": 3, "asset": "594918105"}]
    legs.append({**legs[0], "id": "o2", "from": "B", "to": "A", "qty": 2})
    said = finops("net", write(tmp_path / "l.jsonl", *legs), "--mode", "partial").stderr.decode()
    assert "2 of 2 legs settle in whole or in part: 4 shares." in said
    assert "cash does not limit the legs" in said
    assert "Not a CUSIP by its check digit, taken as it is: 594918105." in said


def test_balance_that_no_leg_moves_is_named(finops: Finops, tmp_path: Path) -> None:
    """Rule: a balance under a name that no leg has is counted on stderr."""
    held = [json.loads(line) for line in BALANCES.read_text().splitlines()]
    balances = write(tmp_path / "held.jsonl", *held, {**held[0], "party": "DTC-161"})
    said = finops("net", LEGS, "--balances", balances).stderr.decode()
    text = " ".join(said.split())
    assert "No leg moves 1 of the 4 balances, such as the CASH of DTC-161." in text


def test_own_view_asks_instead_of_saying_deadlock(finops: Finops, tmp_path: Path) -> None:
    """Rule: the desk's own legs show bilateral nets, and the legs that would close a circle."""
    [answer] = rows(finops("net", OWN, "--own", "DTC-0999", "-q").stdout)
    assert (answer["status"], answer["own"]) == ("own_view", "DTC-0999")
    assert [each["id"] for each in answer["settles"]] == ["F-1002", "R-2002"]
    [ask] = answer["ask"]
    assert ask["says"] == "If DTC-0352 owes DTC-0161, 4,000 of 594918104 would net."
    alone = write(tmp_path / "legs.jsonl", {**GOOD, "from": "US"})
    done = finops("net", alone, "--own", "US")
    assert rows(done.stdout)[0]["status"] == "own_view"
    assert b"its legs alone net nothing" in done.stderr
    given = [json.loads(line) for line in OWN.read_text().splitlines()]
    given.append({**given[0], "id": "X", "from": "DTC-0352", "to": "DTC-0161"})
    [more] = rows(finops("net", write(tmp_path / "l.jsonl", *given), "--own", "DTC-0999").stdout)
    assert more["ask"] == []


def test_own_view_is_made_from_fail_records(finops: Finops, tmp_path: Path) -> None:
    """Rule: deliveries go out, receives come in once, CNS is one party, disputes give no leg."""
    saved, out = tmp_path / "legs.jsonl", tmp_path / "net.json"
    call = ("net", EXAMPLES / "monday.jsonl", "--from-fails", "--save-legs", saved)
    done = finops(*call, "-o", out)
    assert done.returncode == 0
    assert b"Fails without a leg: 1 disputed, 1 netted at CNS already." in done.stderr
    legs = {leg["id"]: (leg["from"], leg["to"], leg["qty"]) for leg in rows(saved.read_bytes())}
    assert legs["F-1001"] == ("US", "CNS", 32000)
    assert legs["F-1002"] == ("US", "DTC-0443", 1200)
    assert legs["F-1004"] == ("CNS", "US", 4000)
    assert legs["594918104/DTC-0161"] == ("DTC-0161", "US", 12000)
    [answer] = rows(out.read_bytes())
    assert answer["ask"][0]["says"] == "If CNS owes DTC-0161, 12,000 of 594918104 would net."
    assert finops("check", out, "--legs", saved, "-q").returncode == 0
    assert finops("net", LEGS, "--save-legs", saved).returncode == 2


def test_receives_of_a_security_are_counted_once(finops: Finops, tmp_path: Path) -> None:
    """Rule: a receive with a line of its own is one leg; records that disagree are refused."""
    delivery = json.loads((EXAMPLES / "monday.jsonl").read_text().splitlines()[0])
    receive = {"side": "Buy", "cns_direction": "N_A", "counterparty": "DTC-0161", "qty": 12000}
    given = write(
        tmp_path / "fails.jsonl",
        delivery,
        {**delivery, "fail_id": "F-2", "qty": 5},
        {**delivery, **receive, "fail_id": "R-1", "ftrs": []},
    )
    saved = tmp_path / "legs.jsonl"
    call = ("net", given, "--from-fails", "-q", "--save-legs", saved, "--overwrite")
    assert finops(*call, "--own", "DTC-0999").returncode == 0
    assert [leg["id"] for leg in rows(saved.read_bytes())] == ["F-1001", "F-2", "R-1"]
    other = {**delivery, "fail_id": "F-3", "ftrs": [{**delivery["ftrs"][0], "qty": 1}]}
    write(given, delivery, delivery, other, {**delivery, "fail_id": "F-4", "qty": -1}, "{")
    done = finops(*call)
    text = done.stderr.decode()
    assert done.returncode == 2
    assert 'line 2: fail_id is "F-1001"' in text
    assert "line 3: ftrs is" in text
    assert "line 4: qty is -1" in text
    assert "line 5: the line is not JSON" in text


def test_missing_packages_are_named_with_their_cure(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: more than 16 legs need OR-tools and partial legs networkx: status 3, nothing written.

    Few legs, peeled deadlocks and nets that settle as a whole need neither.
    """
    for name in ("networkx", "ortools"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "net.json"
    ring = [{**GOOD, "id": f"o{n}", "from": f"P{n}", "to": f"P{(n + 1) % 20}"} for n in range(20)]
    assert finops("net", write(tmp_path / "a.jsonl", *ring), "-q").returncode == 0
    assert finops("net", write(tmp_path / "b.jsonl", *ring[1:]), "-q").returncode == 0
    more = {**GOOD, "id": "x", "from": "P0", "to": "P2"}
    done = finops("net", write(tmp_path / "c.jsonl", *ring, more), "-o", out)
    assert done.returncode == 3
    assert b"nets of this many legs need OR-tools" in done.stderr
    done = finops("net", LEGS, "--mode", "partial", "-o", out)
    assert done.returncode == 3
    assert b"nets with partial legs need networkx" in done.stderr
    assert not out.exists()


def test_check_verifies_without_solvers(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: an answer is checked where no solver is installed; several answers, one on a line."""
    pytest.importorskip("networkx")
    answers = [
        finops("net", LEGS, "--balances", BALANCES, "-q", "--objective", each).stdout
        for each in ("value", "count")
    ]
    answers.append(finops("net", LEGS, "--balances", BALANCES, "-q", "--mode", "partial").stdout)
    out = tmp_path / "net.jsonl"
    out.write_bytes(b"".join(answers))
    for name in ("networkx", "ortools"):
        monkeypatch.setitem(sys.modules, name, None)
    done = finops("check", out, "--legs", LEGS, "--balances", BALANCES)
    assert done.returncode == 0
    assert [row["ok"] for row in rows(done.stdout)] == [True, True, True]
    done = finops("check", out, "--legs", LEGS)
    assert done.returncode == 1
    assert "net.overdrawn" in done.stderr.decode()


def test_check_refuses_contradicting_options(finops: Finops) -> None:
    """Rule: --balances needs --legs, and --legs has no fails; an answer needs --legs."""
    assert finops("check", "-", "--balances", BALANCES).returncode == 2
    assert finops("check", "-", "--legs", LEGS, "--fails", LEGS).returncode == 2
    answer = finops("net", LEGS, "-q").stdout
    done = finops("check", "-", stdin=answer)
    assert done.returncode == 1
    assert b"give --legs LEGS" in done.stdout


def test_names_cannot_steer_the_terminal(finops: Finops, tmp_path: Path) -> None:
    """Rule: control characters of a name are escaped on stderr."""
    legs = [{**GOOD, "from": "A\u001b[2J", "to": "B"}]
    legs.append({**legs[0], "id": "o2", "from": "B", "to": "A\u001b[2J"})
    done = finops("net", write(tmp_path / "legs.jsonl", *legs))
    assert done.returncode == 0
    assert b"\x1b" not in done.stderr
