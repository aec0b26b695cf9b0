"""`finops check --fails` of output lines in which one value was altered, and of whole outputs in
which a line is missing, repeated or in another place.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finops_cli.checking.against_input import check_run
from finops_cli.checking.other_rules import RuleSets
from finops_cli.checking.outputs import check_lines
from finops_cli.commands.clock_options import read_as_of
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.clock import ClockConfig
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.own_kb import change_kb
from tests.support.program import EXAMPLES, Finops
from tests.support.records import jsonl, rows
from tests.support.soak import IS_SOAK
from tests.support.text_models import a_model

MONDAY = EXAMPLES / "monday.jsonl"
FAILS = MONDAY.read_bytes().splitlines()
Path_ = tuple[str | int, ...]
DELETED = object()
REST_ON_TRUST = frozenset(
    (
        "provenance/latency_ms",  # no rule gives the time of an answer
        "provenance/models/*",  # their names and digests: finops audit compares them
        "provenance/digests",
        "provenance/digests/*",
        "provenance/attempts",  # without --keep-raw
        "provenance/attempt_errors/*",  # those before the last one, without --keep-raw
        "raw",  # what the models said: finops audit compares the digest of the output
        "clock",  # of a rejected record, which has none
        "resolution_skipped",  # of a failed triage
        "fail/symbol",  # null and absent are the same
        "fail/counterparty_name",
        "resolution/escalation_reason",  # texts that stay true
        "resolution/narrative",
        "resolution/resolution_steps/*/rationale",
        "triage/reason",
        "verification/*/*/message",
    )
)
"""Values that nothing in the line or the record contradicts."""


def misprint_numbers(stage: str, answer: dict[str, Any]) -> None:
    if stage == "triage":
        answer["priority_score"] = 12.0
    else:
        answer["total_coverable"] += 5


def misjudge(stage: str, answer: dict[str, Any]) -> None:
    if stage == "triage":
        answer["action"] = "NO_ACTION"


def add_field(stage: str, answer: dict[str, Any]) -> None:
    if stage == "triage":
        answer["extra"] = 1


BACKENDS: dict[str, Callable[[KnowledgeBase], Backend]] = {
    "engine": Engine,
    "right": a_model,
    "repaired": lambda kb: a_model(kb, misprint_numbers),
    "fallback": lambda kb: a_model(kb, misjudge),
    "asked again": lambda kb: a_model(kb, add_field),
    "failed": lambda kb: a_model(kb, misjudge, "reject"),
}


def make_line(kb: KnowledgeBase, backend: str, record: bytes) -> Any:
    clock = ClockConfig(as_of=read_as_of("2026-11-27")).open(kb)
    pipeline = Pipeline(SEQUENCES["run"], BACKENDS[backend](kb), kb, timed=True, clock=clock)
    return json.loads(encode(pipeline.process(1, record).line))


def list_places(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from list_places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from list_places(inner, (*path, number))


def list_changes(value: Any) -> Iterator[Any]:
    yield DELETED
    if value is None:
        yield from ("x", 1, {})
    else:
        yield None
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, -value - 1, str(value))
    elif isinstance(value, str):
        yield from (f"{value}x", "", 7)
    elif isinstance(value, list):
        yield from ([*value, "x"], [*value, {}], {})
    elif isinstance(value, dict):
        yield from ({**value, "x": 1}, [])


def alter(line: Any, path: Path_, value: Any) -> bytes:
    altered = holder = copy.copy(line)
    for key in path[:-1]:
        holder[key] = copy.copy(holder[key])
        holder = holder[key]
    if value is DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return json.dumps(altered).encode()


def rests_on_trust(path: Path_) -> bool:
    words = ["*" if isinstance(each, int) else each for each in path]
    places = {"/".join(words), "/".join([*words[:-1], "*"])}
    places |= {words[0]} if words[0] == "raw" else set()
    places |= {"/".join([words[0], "*", *words[2:]])}
    in_attempts = words[:2] == ["provenance", "attempt_errors"] and len(words) > 2
    return bool(places & REST_ON_TRUST) or in_attempts


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_check_finds_every_altered_value(backend: str, kb: KnowledgeBase) -> None:
    """Each key of a line that is deleted, and each value that is replaced, is found, except for the
    statements that nothing in the line or its record contradicts. None is a fault of finops. The
    third record is for the engine, and for the models in `just soak`.
    """
    missed = set()
    is_whole = IS_SOAK or backend == "engine"
    for record in (FAILS[0], b'{"fail_id":"F-7"}', *(FAILS[2:3] if is_whole else [])):
        line = make_line(kb, backend, record)
        [untouched] = check_run([json.dumps(line).encode()], [record], kb)
        assert untouched.ok, untouched
        for path, value in list_places(line):
            for changed in list_changes(value):
                verdicts = list(check_run([alter(line, path, changed)], [record], kb))
                rules = {each.rule for verdict in verdicts for each in verdict.findings}
                assert "internal.error" not in rules, (path, changed, verdicts)
                if not rules and not rests_on_trust(path):
                    missed.add((path, str(changed)[:80]))
    if backend == "asked again":  # what the model said before its last answer
        missed = {each for each in missed if each[0][:2] != ("verification", "triage")}
    assert not missed


def edit(line: Any, path: str, value: Any) -> Any:
    return json.loads(alter(line, tuple(path.split("/")), value))


@pytest.mark.parametrize(
    ("backend", "path", "value", "rule"),
    [
        ("engine", "status", "repaired", "check.status"),
        ("engine", "status", "fallback", "check.status"),
        ("engine", "status", "rejected", "schema.shape"),
        ("repaired", "status", "ok", "schema.shape"),
        ("asked again", "status", "repaired", "check.status"),
        ("right", "status", "fallback", "check.status"),
        ("right", "provenance/backend", "engine", "check.provenance"),
        ("engine", "provenance/backend", "llama-cpp", "check.provenance"),
        ("engine", "provenance/backend", "gpt", "check.provenance"),
        ("engine", "provenance/prompt_sha256", "0" * 64, "check.provenance"),
        ("right", "provenance/prompt_sha256", None, "check.provenance"),
        ("right", "provenance/models/triage", None, "check.provenance"),
        ("engine", "provenance/kb", "mine", "check.provenance"),
        ("engine", "provenance/attempts", 9, "check.provenance"),
        ("repaired", "provenance/attempt_errors", DELETED, "check.provenance"),
        ("engine", "provenance/clock", DELETED, "check.provenance"),
        ("engine", "headline/text", "Do nothing.", "headline.checked"),
        ("engine", "headline", DELETED, "schema.shape"),
        ("engine", "approved", True, "schema.unknown"),
        ("engine", "format", 7, "schema.enum"),
        ("engine", "provenance/attempts", -0.0, "schema.type"),
        ("engine", "provenance/masked", ["SHOE_SIZE"], "check.provenance"),
        ("engine", "provenance/masked", ["SSN", "SSN"], "check.provenance"),
        ("engine", "provenance/masked", ["SSN", "EMAIL"], "check.provenance"),
    ],
)
def test_check_judges_what_a_line_says_of_itself(
    backend: str, path: str, value: Any, rule: str, kb: KnowledgeBase
) -> None:
    """A status, a provenance or a headline that contradicts the line is found without its record
    and with it.
    """
    line = edit(make_line(kb, backend, FAILS[0]), path, value)
    text = json.dumps(line).encode()
    for [verdict] in (list(check_lines([text], kb)), list(check_run([text], FAILS[:1], kb))):
        assert rule in [each.rule for each in verdict.findings], verdict


@pytest.mark.parametrize("place", ["", "fail", "headline", "verification", "raw"])
def test_check_lists_twenty_faults_of_shape(place: str, kb: KnowledgeBase) -> None:
    """A line with 5,000 unknown names costs a verdict with twenty of them, not 5,000."""
    line = make_line(kb, "engine", FAILS[0])
    part = line.setdefault(place, {}) if place else line
    part.update({f"name{number}": [] for number in range(5_000)})
    [verdict] = check_lines([json.dumps(line, default=str).encode()], kb)
    assert len(verdict.findings) == 21
    assert verdict.findings[-1].message == "and more faults than are listed here"


def test_check_compares_a_rejection_with_its_record(kb: KnowledgeBase) -> None:
    """The problems, the message and the line of a rejection are those of the record."""
    record = b'{"fail_id":"F-7"}'
    line = make_line(kb, "engine", record)
    problem = {**line["error"]["problems"][0], "rule": "schema.type"}
    for path, value in (
        ("error/problems", [problem]),
        ("error/message", "line 1: no"),
        ("error/line", 2),
    ):
        text = json.dumps(edit(line, path, value)).encode()
        [verdict] = check_run([text], [record], kb)
        assert "check.status" in [each.rule for each in verdict.findings], path


def check_output(
    finops: Finops, tmp_path: Path, output: bytes, *arguments: object
) -> list[list[str]]:
    """Check an output against Monday's fails and return the rules of each verdict."""
    file = tmp_path / "checked.jsonl"
    file.write_bytes(output)
    done = finops(*arguments, "check", file, "--fails", MONDAY)
    return [[each["rule"] for each in line["findings"]] for line in rows(done.stdout)]


@pytest.fixture
def lines(finops: Finops) -> list[bytes]:
    """The lines of Monday."""
    return finops("run", MONDAY, "--no-timing", "-q").stdout.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("order", "wrong"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8), []),
        ((1, 3, 4, 5, 6, 7, 8), [2]),
        ((1, 5, 6, 7, 8), [2]),
        ((1, 2, 3, 4, 5, 6, 7), [8]),
        ((1, 1, 2, 3, 4, 5, 6, 7, 8), [2]),
        ((1, 2, 1, 2, 3, 4, 5, 6, 7, 8), [3, 4]),
        ((2, 1, 3, 4, 5, 6, 7, 8), [1, 2]),
        ((2, 3, 4, 1, 5, 6, 7, 8), [1, 4]),
        ((8, 1, 2, 3, 4, 5, 6, 7), [1]),
        ((1, 2, 0, 3, 4, 5, 6, 7, 8), [3]),
        ((1, 0, 3, 4, 5, 6, 7, 8), [2]),
        ((1, 0, 0, 0, 2, 3, 4, 5, 6, 7, 8), [2, 3, 4]),
        ((1, 2, 3, 4, 5, 6, 7, 8, 0), [9]),
    ],
)
def test_check_reports_each_misplaced_line_once(
    order: tuple[int, ...], wrong: list[int], lines: list[bytes], tmp_path: Path, finops: Finops
) -> None:
    """A missing, repeated, moved or unknown line (0) is one finding; the lines behind it are
    compared with their own records.
    """
    known = [lines[0].replace(b"F-1001", b"F-9999"), *lines]
    found = check_output(finops, tmp_path, b"".join(known[number] for number in order))
    assert [place for place, rules in enumerate(found, start=1) if rules] == wrong
    assert {rule for rules in found for rule in rules} <= {"check.order"}


def test_check_still_judges_a_line_in_another_place(
    lines: list[bytes], tmp_path: Path, finops: Finops
) -> None:
    """A wrong number behind a missing line is found."""
    changed = lines[4].replace(b'"base_score":', b'"base_score":9')
    found = check_output(finops, tmp_path, b"".join([lines[0], *lines[2:4], changed, *lines[5:]]))
    assert found[1] == ["check.order"]
    assert "score.base" in found[3]


def test_check_names_other_rules_in_one_finding(
    lines: list[bytes], tmp_path: Path, finops: Finops
) -> None:
    """A line that other rules made, and that these judge differently, has one finding that names
    its rules. A line on which both agree has a note.
    """
    kb = change_kb(tmp_path, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")
    made = finops("--kb", kb, "run", MONDAY, "--no-timing", "-q").stdout
    file = tmp_path / "out.jsonl"
    file.write_bytes(made)
    done = finops("check", file, "--fails", MONDAY)
    verdicts = rows(done.stdout)
    found = [[each["rule"] for each in verdict["findings"]] for verdict in verdicts]
    notes = [[each["rule"] for each in verdict.get("notes", [])] for verdict in verdicts]
    name = load_kb(kb).version
    assert ["check.rules"] in found
    assert all((rules == ["check.rules"]) != (noted == ["check.made_with"])
               for rules, noted in zip(found, notes, strict=True))  # fmt: skip
    assert done.stdout.count(f"made with rules {name}".encode()) == len(lines)
    assert done.returncode == 1
    assert finops("--kb", kb, "check", file, "--fails", MONDAY).returncode == 0


def test_check_judges_by_the_rules_that_made_a_line(
    lines: list[bytes], tmp_path: Path, kb: KnowledgeBase
) -> None:
    """Where the rules of a line were kept, they judge it; a wrong number is still found."""
    own = load_kb(change_kb(tmp_path, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30"))
    rules = RuleSets(own, lambda digits: kb if kb.sha256.startswith(digits) else None)
    line = lines[0].strip()
    [right] = check_run([line], FAILS[:1], rules)
    [wrong] = check_run([line.replace(b"83.2", b"83.3")], FAILS[:1], rules)
    assert right.ok
    assert isinstance(right.notes, list)
    assert [each.rule for each in right.notes] == ["check.made_with"]
    assert "score.priority" in [each.rule for each in wrong.findings]


def test_check_refuses_a_line_of_sentiment(finops: Finops) -> None:
    """A line of `finops sentiment` gets one finding that says so."""
    texts = jsonl({"text": "They delivered in full, thank you."})
    line = finops("sentiment", "-", "-q", stdin=texts).stdout
    [verdict] = rows(finops("check", "-", stdin=line).stdout)
    assert [each["rule"] for each in verdict["findings"]] == ["schema.shape"]
    assert "finops sentiment" in verdict["findings"][0]["message"]
