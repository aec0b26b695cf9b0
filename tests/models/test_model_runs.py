"""Runs with language models: one output line for each input line, every correction is marked, and a
run can be resumed.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    Behaviour,
    Busy,
    Changed,
    CorrectAnswer,
    Crash,
    ErrorLine,
    FakeOllama,
    FixedText,
    Garbled,
    Hang,
    Length,
    Loaded,
    NoDone,
    ReceivedRequest,
    Refused,
    Torn,
)
from tests.support.ollama_models import is_warm_up, model_run, run_here, some_fails
from tests.support.program import EXAMPLES, Finops
from tests.support.records import jsonl, rows


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama(chunk_tokens=8) as running:
        yield running


def count_statuses(output: bytes) -> dict[str, int]:
    found = [row["status"] for row in rows(output)]
    return {status: found.count(status) for status in set(found)}


def test_run_with_correct_models_equals_the_engine(finops: Finops, server: FakeOllama) -> None:
    """With correct models a run gives the engine's answers, and each line has the names, digests
    and prompt of the models.
    """
    engine_lines = rows(finops("run", EXAMPLES / "monday.jsonl", "--backend", "engine").stdout)
    done = finops("run", EXAMPLES / "monday.jsonl", "--backend", "ollama", "--host", server.url)
    assert done.returncode == 0
    for line, expected in zip(rows(done.stdout), engine_lines, strict=True):
        provenance = line.pop("provenance")
        expected.pop("provenance")
        assert line == expected
        assert provenance["models"] == {"triage": "finops-triage", "resolver": "finops-resolver"}
        assert {len(digest) for digest in provenance["digests"].values()} == {64}
        assert len(provenance["prompt_sha256"]) == 64
    assert "triage model 8 of 8 correct on the first answer (100.0 %)" in done.stderr.decode()


def change_one_number(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, ("priority_score" if "priority_score" in answer else "residual_short"): 1}


FAULTS: tuple[Behaviour, ...] = (
    *(
        Torn(),
        NoDone(),
        Busy(),
        Crash(),
        ErrorLine(),
        Garbled(),
        Length(),
        Loaded(),
        Refused(),
        Hang(after=3),
    ),
    *(
        FixedText("no idea"),
        FixedText('{"category": "CNS_FAIL"}'),
        Changed(lambda answer: {**answer, "narrative": "", "reason": ""}),
    ),
    *(Changed(change_one_number), Changed(lambda answer: [answer])),
)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["repair", "retry", "fallback", "reject"])
def test_run_with_many_faults_keeps_and_marks_every_line(
    policy: str, quick_kb: Path, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """With faults in two of five requests, every input line has one output line in order. The
    checker accepts each, and replaced answers have findings.
    """

    def script(request: ReceivedRequest) -> Behaviour:
        rng = Random(
            f"{policy} {request.attempt} {request.prompt}"
        )  # by what is asked, not by when it arrives
        return (
            rng.choice(FAULTS)
            if not is_warm_up(request) and rng.random() < 0.4
            else CorrectAnswer()
        )

    server.script = script
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(60)[:30], {"cusip": "nonsense"}, *some_fails(60)[30:]))
    done = run_here(
        finops,
        quick_kb,
        server,
        fails,
        "-o",
        output,
        "--on-violation",
        policy,
        "--workers",
        3,
        "--timeout",
        0.5,
        "--keep-raw",
    )
    assert done.returncode == 1, done.stderr
    found = count_statuses(output.read_bytes())
    assert (sum(found.values()), found["rejected"]) == (61, 1)
    assert ("failed" in found) == (policy == "reject")
    assert "repaired" in found or policy != "repair"
    checked = finops("--kb", quick_kb, "check", output, "--fails", fails)
    assert checked.returncode == 0, checked.stdout
    for line in rows(output.read_bytes()):
        findings = [*line["verification"]["triage"], *line["verification"]["resolution"]]
        assert bool(findings) == (line["status"] in ("repaired", "fallback", "failed"))


def slow_down(server: FakeOllama) -> None:
    server.token_seconds = 0.0001


def run_uninterrupted(
    finops: Finops, quick_kb: Path, server: FakeOllama, fails: Path, tmp_path: Path
) -> bytes:
    output = tmp_path / "whole.jsonl"
    assert run_here(finops, quick_kb, server, fails, "-o", output).returncode == 0
    return output.read_bytes()


@pytest.mark.slow
def test_resume_after_kills_of_a_model_run_is_identical(
    quick_kb: Path, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A model run that was killed several times is resumed to the bytes of an uninterrupted run."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(30)))
    whole = run_uninterrupted(finops, quick_kb, server, fails, tmp_path)
    slow_down(server)
    for lines in (3, 11, 20):
        process = subprocess.Popen(
            model_run(quick_kb, server, fails, "-o", output, "--resume"), stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not (
            output.exists() and output.read_bytes().count(b"\n") >= lines
        ):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 20 <= output.read_bytes().count(b"\n") < 30
    done = run_here(finops, quick_kb, server, fails, "-o", output, "--resume")
    assert (done.returncode, output.read_bytes()) == (0, whole)


@pytest.mark.slow
def test_interrupted_model_run_exits_130_and_can_be_resumed(
    quick_kb: Path, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """Ctrl-C during an answer ends with exit 130, whole lines and a message that names `--resume`,
    which completes the run.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(6)))
    whole = run_uninterrupted(finops, quick_kb, server, fails, tmp_path)
    correct_answers = iter(range(5))
    server.script = lambda request: (
        CorrectAnswer()
        if is_warm_up(request) or next(correct_answers, None) is not None
        else Hang(after=1)
    )
    process = subprocess.Popen(
        model_run(quick_kb, server, fails, "-o", output), stderr=subprocess.PIPE
    )
    while process.poll() is None and not (
        output.exists() and output.read_bytes().count(b"\n") >= 2
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"--resume" in messages
    assert output.read_bytes() == whole[: output.stat().st_size]
    server.script = lambda _: CorrectAnswer()
    done = run_here(finops, quick_kb, server, fails, "-o", output, "--resume")
    assert done.returncode == 0
    assert output.read_bytes() == whole


@pytest.mark.slow
def test_run_without_any_server_exits_3_and_can_be_resumed(
    quick_kb: Path, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """When no server is left, the run ends with exit 3, the cause and the counts. `--resume`
    completes it when a server is back.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(12)))
    correct_answers = iter(range(9))

    def falls_over(request: ReceivedRequest) -> Behaviour:
        return CorrectAnswer() if next(correct_answers, None) is not None else Crash()

    server.script = falls_over
    done = run_here(finops, quick_kb, server, fails, "-o", output)
    messages = done.stderr.decode()
    assert done.returncode == 3, messages
    before = output.read_bytes()
    count = before.count(b"\n")
    for part in (
        "reply.crashed",
        "see the server's log",
        "--resume to continue",
        f"records      {count}",
        f"ended after {count} records",
    ):
        assert part in messages
    server.script = lambda _: CorrectAnswer()
    again = run_here(finops, quick_kb, server, fails, "-o", output, "--resume")
    assert again.returncode == (1 if b'"status":"fallback"' in before else 0)
    assert output.read_bytes().startswith(before)
    assert [row["fail_id"] for row in rows(output.read_bytes())] == [f"F-{n}" for n in range(12)]


@pytest.mark.slow
def test_resumed_run_prints_the_same_summary(
    quick_kb: Path, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """The summary of a resumed run counts correct answers, retries and rules like the summary of an
    uninterrupted run.
    """
    fails, whole, output = (tmp_path / name for name in ("fails.jsonl", "whole.jsonl", "out.jsonl"))
    fails.write_bytes(jsonl(*some_fails(12)))
    fixed = (FixedText("no"), Busy(), Changed(change_one_number), FixedText("```json\n{}\n```"))
    draws = {n: fixed[n % 4] for n in range(8)}

    def script(request: ReceivedRequest) -> Behaviour:
        qty = next((n for n in draws if f"Qty: {5000 + n} " in request.prompt), None)
        return draws[qty] if qty is not None and request.attempt == 1 else CorrectAnswer()

    def run_again(*more: object) -> str:
        server._asked_before.clear()
        server.script = script
        return run_here(finops, quick_kb, server, fails, *more).stderr.decode()

    uninterrupted = run_again("-o", whole)
    output.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:5]))
    (tmp_path / "out.jsonl.run.json").write_bytes((tmp_path / "whole.jsonl.run.json").read_bytes())
    assert run_again("-o", output, "--resume") == uninterrupted
    assert output.read_bytes() == whole.read_bytes()
    for part in (
        "triage model 6 of 12 correct on the first answer (50.0 %)  4 on the second",
        "score.priority 2",
        "reply.busy 2",
        "repaired 2",
    ):
        assert part in uninterrupted, uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--on-violation", "reject"], "the settings of the models"),
        (["--keep-raw"], "--keep-raw"),
        (["--timeout", "9"], "settings"),
        (["--triage-model", "finops-resolver"], "the content of the models"),
    ],
)
def test_resume_of_a_model_run_with_other_settings_is_refused(
    changes: list[str],
    message: str,
    quick_kb: Path,
    server: FakeOllama,
    tmp_path: Path,
    finops: Finops,
) -> None:
    """A resume with another policy, option or model is refused, and the message names the
    difference.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(2)))
    assert run_here(finops, quick_kb, server, fails, "-o", output).returncode == 0
    done = run_here(finops, quick_kb, server, fails, "-o", output, "--resume", *changes)
    assert (done.returncode, message in done.stderr.decode()) == (2, True)
