"""Error messages of rejected lines: quoted text is scanned before it is shortened, and withheld
without the guard extra.
"""

from __future__ import annotations

import json

import pytest

from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

CARD = "4111 1111 1111 1111"
CUT = {
    "a line that is a text": json.dumps("y" * 60 + f" {CARD}"),
    "a file of an old editor": "SSN 123\u201345\u20136789",
    "a line that is not JSON": "y" * 63 + f" {CARD}",
    "a key with a slash": json.dumps({**a_fail(), "rem/ark": "y" * 60 + f" {CARD}"}),
    "a key that is personal data": json.dumps({**a_fail(), "y" * 63 + f" {CARD}": 1}),
    "a name that masking makes short enough": json.dumps(
        a_fail(fail_id="y" * 61 + f" {CARD} " + "z" * 40 + f" {CARD}" * 2)
    ),
    "a note that masking makes short enough": json.dumps(a_fail(notes=f"{CARD} " * 3449)),
    "a value of a field": json.dumps(a_fail(side="y" * 60 + f" {CARD}")),
    "a number with a fraction": json.dumps({**a_fail(), "ssn": 123456789.0}),
    "a nested value": json.dumps({**a_fail(), "person": {"ssn": 123456789}}),
    "a fraction": json.dumps({**a_fail(), "ssn": 123456789.5}),
    "a card number with a fraction": '{"fail_id": "F-1", "card": 4111111111111111.0}',
    "a torn line with escapes": '{"fail_id": "F-1", "notes": "SSN 123\\u201145\\u20116789',
    "the text form": json.dumps(
        {"fail_id": "F-1", "text": f"Fail record:\nCUSIP: 594918104 | Side: {'y' * 60} {CARD}"}
    ),
}


@pytest.mark.parametrize("line", CUT.values(), ids=CUT)
def test_rejected_value_is_scanned_before_it_is_shortened(
    line: str, finops: Finops, finops_without_guard: Finops
) -> None:
    """A quoted value is masked or withheld before it is shortened, so no more than four digits of a
    number appear.
    """
    pytest.importorskip("presidio_analyzer")
    for program, found in ((finops, {"CARD", "SSN"}), (finops_without_guard, {"WITHHELD"})):
        done = program(
            "run", "-", "--backend", "engine", "--guard", "on", stdin=line.encode("cp1252") + b"\n"
        )
        [rejected] = rows(done.stdout)
        assert (done.returncode, rejected["status"]) == (1, "rejected"), done.stderr
        assert set(rejected["provenance"]["masked"]) & found
        assert "1111 1" not in done.stdout.decode()
        assert "123\u2011" not in done.stdout.decode()
        assert "11111" not in done.stdout.decode()
        assert "12345" not in done.stdout.decode()


def test_rejected_line_without_personal_data_is_quoted(
    finops: Finops, finops_without_guard: Finops
) -> None:
    """An error without personal data is quoted in full with its suggested fix, with and without the
    guard extra.
    """
    pytest.importorskip("presidio_analyzer")
    record = {**a_fail(), "aged_days": 7}
    del record["age_days"]
    plain = rows(finops("run", "-", "--backend", "engine", stdin=jsonl(record)).stdout)[0]
    for program in (finops, finops_without_guard):
        [line] = rows(
            program("run", "-", "--backend", "engine", "--guard", "on", stdin=jsonl(record)).stdout
        )
        assert "age_days is missing" in line["error"]["message"]
        assert "did you mean age_days?" in line["error"]["message"]
    assert "did you mean age_days?" in plain["error"]["message"]


@pytest.mark.parametrize("depth", [400, 2000])
def test_deeply_nested_line_does_not_stop_the_next_line(depth: int, finops: Finops) -> None:
    """Personal data in a very deep structure is not printed, and the next line is processed."""
    pytest.importorskip("presidio_analyzer")
    nested = "[" * depth + '"SSN 123-45-6789"' + "]" * depth
    deep = [
        json.dumps(a_fail(fail_id=name))[:-1] + f', "{field}": {nested}}}'
        for name, field in (("F-1", "origin"), ("F-2", "x"))
    ]
    deep[0] = deep[0].replace(nested, '{"a": ' + nested + "}")
    record = "\n".join([*deep, json.dumps(a_fail(fail_id="F-3"))]).encode()
    done = finops("run", "-", "--backend", "engine", "--guard", "on", stdin=record)
    assert [line["fail_id"] for line in rows(done.stdout)][-1] == "F-3", done.stderr
    assert len(rows(done.stdout)) == 3
    assert b"6789" not in done.stdout
