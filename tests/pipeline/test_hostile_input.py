"""Hostile input: any line becomes one output line with a reason, and the lines beside it are
processed.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_cli.kb.load import bundled_kb_dir
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

GOOD = json.dumps(a_fail()).encode()


def change_fail(**changes: object) -> bytes:
    return json.dumps(a_fail(fail_id="F-2", **changes)).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"fail_id": "F-2"', "schema.json"),
    "empty line": (b"", "schema.json"),
    "blanks": (b"   ", "schema.json"),
    "NaN": (b'{"fail_id": "F-2", "qty": NaN}', "schema.json"),
    "Infinity": (b'{"fail_id": "F-2", "market_value": -Infinity}', "schema.json"),
    "100,000 brackets": (b"[" * 100_000, "schema.json"),
    "100,000 closed brackets": (b"[" * 100_000 + b"]" * 100_000, "schema.json"),
    "100,000 objects in a free field": (
        b'{"origin": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        "schema.json",
    ),
    "invalid UTF-8": (b'{"fail_id": "\xff\xfe"}', "schema.json"),
    "invalid UTF-8 in a name of an event": (
        change_fail(corporate_action={"type": "merger", "x": 1}).replace(b'"x"', b'"\xe5"'),
        "schema.json",
    ),
    "half a surrogate pair": (b'{"fail_id": "\\ud800"}', "schema.json"),
    "NUL bytes": (b"\x00\x00\x00", "schema.json"),
    "UTF-16": ('{"fail_id": "F-2"}'.encode("utf-16"), "schema.json"),
    "a number of 5,000 digits": (b'{"qty": ' + b"9" * 5000 + b"}", "schema.json"),
    "an exponent out of range": (b'{"market_value": 1e99999999999999999999}', "schema.json"),
    "a list": (b"[1, 2]", "schema.type"),
    "a string": (b'"fail"', "schema.type"),
    "null": (b"null", "schema.type"),
    "30-digit quantity": (change_fail(qty=10**29), "schema.range"),
    "30-digit position": (change_fail(cns_position=-(10**29)), "schema.range"),
    "30-digit value": (change_fail(market_value=10**29), "schema.range"),
    "huge exponent": (change_fail().replace(b"2100000", b"1e400"), "schema.range"),
    "quantity of zero": (change_fail(qty=0), "schema.range"),
    "negative age": (change_fail(age_days=-1), "schema.range"),
    "rate above 100": (change_fail(cp_fail_rate_pct=100.01), "schema.range"),
    "two-megabyte id": (change_fail().replace(b"F-2", b"F" * 2_000_000), "schema.range"),
    "two-megabyte notes": (change_fail(notes="n" * 2_000_000), "schema.range"),
    "two-megabyte unknown field": (change_fail(**{"x" * 2_000_000: 1}), "schema.unknown"),
    "two-megabyte text": (
        json.dumps({"fail_id": "F-2", "text": "|" * 2_000_000}).encode(),
        "schema.type",
    ),
    "text for a number": (change_fail(qty="5000"), "schema.type"),
    "quoted rate": (change_fail(cp_fail_rate_pct="4"), "schema.type"),
    "true for a number": (change_fail(age_days=True), "schema.type"),
    "number for text": (change_fail(cusip=594918104), "schema.type"),
    "text for a flag": (change_fail(reg_sho_threshold="maybe"), "schema.type"),
    "fraction of a share": (change_fail(qty=0.5), "schema.type"),
    "words for money": (change_fail(market_value="lots"), "schema.format"),
    "null where a value must be": (change_fail(side=None), "schema.enum"),
    "unknown word": (change_fail(cns_direction="UP"), "schema.enum"),
    "misspelt field": (change_fail(dk_reson="x"), "schema.unknown"),
    "bad check digit": (change_fail(cusip="594918105"), "cusip.check_digit"),
    "small letters": (change_fail(cusip="59491810a"), "schema.format"),
    "newline after a DTC number": (change_fail(counterparty="DTC-0005\n"), "schema.range"),
    "fail_id used before": (GOOD, "input.duplicate"),
    "text form that cannot be read": (
        json.dumps({"fail_id": "F-2", "text": "CUSIP 594918104"}).encode(),
        "schema.unknown",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_line_is_rejected_and_neighbours_unchanged(name: str, finops: Finops) -> None:
    """A hostile line becomes one rejected line that names the violated rule. The lines beside it
    are answered as they are alone.
    """
    line, rule = HOSTILE[name]
    last = json.dumps(a_fail(fail_id="F-3")).encode()
    done = finops("run", "-", "--no-timing", stdin=b"\n".join((GOOD, line, last)) + b"\n")
    first, rejected, third = rows(done.stdout)
    assert (rejected["status"], rejected["triage"], rejected["resolution"]) == (
        "rejected",
        None,
        None,
    )
    assert rejected["error"]["line"] == 2
    assert rule in [problem["rule"] for problem in rejected["error"]["problems"]]
    assert rejected["error"]["message"].startswith("line 2: ")
    assert len(done.stdout.splitlines()[1]) < 20_000
    assert [first["triage"]["priority_score"], third["triage"]["priority_score"]] == [
        Decimal("83.4")
    ] * 2
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1


def test_line_over_4_mib_is_rejected_and_next_is_read(finops: Finops) -> None:
    """A line of 6 MiB is over the limit of 4 MiB: it is rejected, and the next line is read."""
    done = finops(
        "run", "-", stdin=b'{"notes": "' + b"x" * (6 * 1024 * 1024) + b'"}\n' + GOOD + b"\n"
    )
    long, good = rows(done.stdout)
    assert "longer than" in long["error"]["message"]
    assert good["status"] == "ok"


def test_byte_order_mark_is_removed_from_the_first_line(finops: Finops) -> None:
    """A byte order mark at the start of the file belongs to no record, so all lines are
    accepted.
    """
    stdin = b"\xef\xbb\xbf" + GOOD + b"\n" + json.dumps(a_fail(fail_id="F-2")).encode() + b"\n"
    assert [row["status"] for row in rows(finops("run", "-", stdin=stdin).stdout)] == ["ok", "ok"]


@pytest.mark.parametrize("fault", [b"{},", b'"x":1,'])
def test_line_with_100_000_problems_reports_the_first_20(fault: bytes, finops: Finops) -> None:
    """A line with 100,000 problems reports the first twenty and that there are more. The next line
    is read.
    """
    inside = (
        b'"ftrs":[' + fault * 100_000 + b"{}]"
        if fault == b"{},"
        else b"".join(b'"x%d":1,' % n for n in range(100_000)) + b'"y":1'
    )
    done = finops(
        "run", "-", stdin=GOOD[:-1] + b", " + inside + b"}\n" + GOOD.replace(b"F-1", b"F-2") + b"\n"
    )
    bad, good = rows(done.stdout)
    assert len(bad["error"]["problems"]) == 21
    assert "and more faults" in bad["error"]["message"]
    assert len(done.stdout) < 40_000
    assert good["status"] == "ok"


def test_record_with_three_problems_reports_all_of_them(finops: Finops) -> None:
    """A rejected record reports all its problems at once, each with its path."""
    [line] = rows(finops("triage", "-", stdin=jsonl(a_fail(qty=-1, side="B", age_days="7"))).stdout)
    assert {problem["path"] for problem in line["error"]["problems"]} == {
        "/qty",
        "/side",
        "/age_days",
    }


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD + b"\n", id="byte order mark"),
        pytest.param(GOOD + b"\r\n", id="carriage return"),
        pytest.param(GOOD, id="no newline at the end"),
        pytest.param(
            GOOD.replace(b"5000,", b"5000.0,") + b"\n", id="whole number with a fraction of zero"
        ),
        pytest.param(GOOD.replace(b"2100000", b'"$2.1M"') + b"\n", id="money in words"),
        pytest.param(
            GOOD[:-1] + b', "ftrs": null, "cns_eligible": null}\n',
            id="null for an absent list or flag",
        ),
        pytest.param(GOOD[:-1] + b', "notes": null, "dk_reason": ""}\n', id="null and empty text"),
    ],
)
def test_record_in_another_spelling_is_the_same_record(spelling: bytes, finops: Finops) -> None:
    """A byte order mark, other line ends, an integer with a zero fraction and similar spellings do
    not change a record.
    """
    done = finops("run", "-", "-q", stdin=spelling)
    [line] = rows(done.stdout)
    assert (done.returncode, line["triage"]["priority_score"]) == (0, Decimal("83.4"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_LINES = (
    st.binary(max_size=60)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(
        st.sampled_from(
            [*a_fail(), "inventory", "ftrs", "related_fails", "corporate_action", "text"]
        ),
        _JSON,
    ).map(lambda change: json.dumps(a_fail(**{change[0]: change[1]})).encode())
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(line=_LINES.filter(lambda line: b"\n" not in line))
@pytest.mark.parametrize("stage", ["run", "triage", "resolve"])
def test_any_bytes_become_one_ok_or_rejected_line(stage: Any, line: bytes) -> None:
    """Any bytes give one JSON line with the status ok or rejected, and exactly the rejected lines
    have an error.
    """
    written = (
        PipelineConfig(sequence=SEQUENCES[stage], kb_dir=bundled_kb_dir(), timed=False)
        .open()
        .process(1, line)
        .line
    )
    output = json.loads(encode(written))
    assert output["status"] in ("ok", "rejected")
    assert ("error" in output) == (output["status"] == "rejected")
