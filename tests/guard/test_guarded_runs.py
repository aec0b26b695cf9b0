"""Runs with models and free text: the guard masks personal data, leaves the desk's own numbers, and
no text is sent unscanned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from finops_cli import extras
from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support import look_alikes, personal_data
from tests.support.ollama_models import is_warm_up, model_run
from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.soak import scaled


def sent_text(server: FakeOllama) -> str:
    """Join the prompts of the requests that the server received."""
    return json.dumps(
        [request.body for request in server.received if not is_warm_up(request)], ensure_ascii=False
    )


def all_text(server: FakeOllama, output: bytes, messages: bytes) -> str:
    return sent_text(server).replace("\\n", "\n") + output.decode() + messages.decode()


PLANTED = [(kind, number) for kind in personal_data.PLANTED for number in range(scaled(20, 50))]


def plant_fails(
    draw: personal_data.Draw,
) -> tuple[list[dict[str, Any]], list[personal_data.Planted]]:
    """Return a fail for each piece of personal data: in the notes, the dispute reason, the origin,
    or an invalid line.
    """
    fails, planted = [], []
    for kind, number in PLANTED:
        made = personal_data.planted(draw, kind)
        planted.append(made)
        fail_id = f"P-{len(planted)}"
        fails.append(
            [
                a_fail(fail_id=fail_id, notes=made.sentence),
                a_fail(fail_id=fail_id, dk_reason=made.sentence),
                a_fail(fail_id=fail_id, notes="see file", origin={"memo": made.sentence}),
                a_fail(fail_id=fail_id, side=made.sentence),
                {**a_fail(fail_id=fail_id), "remark": made.sentence},
            ][number % 5]
        )
    return fails, planted


@pytest.mark.slow
def test_guarded_run_leaks_no_planted_personal_data(
    server: FakeOllama, tmp_path: Path, finops: Finops, quick_kb: Path
) -> None:
    """Of 200 planted pieces of personal data of ten kinds (500 in `just soak`), none reaches a
    prompt, a capture, a log or an output. Each line lists what was masked in its record.
    """
    pytest.importorskip("presidio_analyzer")
    fails, planted = plant_fails(Random(5))
    assert len(planted) == scaled(200, 500)
    assert len(personal_data.PLANTED) == 10
    (tmp_path / "fails.jsonl").write_bytes(jsonl(*fails))
    server.chunk_tokens = 1000
    command = model_run(quick_kb, server, tmp_path / "fails.jsonl", "--keep-raw", "--workers", 4)
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    texts = all_text(server, done.stdout, done.stderr)
    lines = rows(done.stdout)
    assert len(lines) == len(fails)
    leaked = [made for made in planted if made.what in texts]
    assert leaked == []
    for line, made in zip(lines, planted, strict=True):
        assert made.kind in line["provenance"]["masked"], (made, line)
    judged = finops(
        "--kb", quick_kb, "check", "-", "--fails", tmp_path / "fails.jsonl", stdin=done.stdout
    )
    assert judged.returncode == 0, judged.stdout[:500]


@pytest.mark.slow
def test_guarded_run_sends_look_alikes_unchanged(
    server: FakeOllama, tmp_path: Path, quick_kb: Path
) -> None:
    """200 notes (500 in `just soak`) with CUSIPs, ISINs, DTC numbers, quantities, prices and dates
    reach the model unchanged.
    """
    pytest.importorskip("presidio_analyzer")
    server.chunk_tokens = 1000
    draw = Random(6)
    kinds = list(look_alikes.LOOK_ALIKES)
    notes = [
        look_alikes.look_alike(draw, kinds[number % len(kinds)])
        for number in range(scaled(200, 500))
    ]
    (tmp_path / "fails.jsonl").write_bytes(
        jsonl(*(a_fail(fail_id=f"L-{n}", notes=note) for n, note in enumerate(notes)))
    )
    command = model_run(quick_kb, server, tmp_path / "fails.jsonl", "--workers", 4)
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    prompts = "\n".join(request.prompt for request in server.received)
    assert [note for note in notes if note not in prompts] == []
    assert {tuple(line["provenance"]["masked"]) for line in rows(done.stdout)} == {()}


def test_run_of_a_file_with_text_and_no_guard_sends_nothing(
    server: FakeOllama, finops_without_guard: Finops, tmp_path: Path
) -> None:
    """`require` is the default guard mode with models. Without the guard extra, a file with one
    note ends with exit 3 and a fix before any record is sent.
    """
    (tmp_path / "fails.jsonl").write_bytes(
        jsonl(a_fail(), a_fail(fail_id="F-2", notes="call back"))
    )
    output = tmp_path / "out.jsonl"
    for mode in ([], ["--guard", "require"]):
        done = finops_without_guard(
            "run",
            tmp_path / "fails.jsonl",
            "--backend",
            "ollama",
            "--host",
            server.url,
            "-o",
            output,
            *mode,
        )
        assert done.returncode == 3
        assert "line 2: F-2 has free text" in done.stderr.decode()
        assert extras.cure("guard") in done.stderr.decode()
        assert not output.exists()
    assert [one for one in server.received if not is_warm_up(one)] == []


def test_run_of_a_pipe_without_guard_stops_at_free_text(
    server: FakeOllama, finops_without_guard: Finops
) -> None:
    """A pipe cannot be scanned in advance. Without the guard extra the run answers the records
    before the first one with free text and stops there.
    """
    stdin = jsonl(
        a_fail(),
        a_fail(fail_id="F-2", notes="call back"),
        a_fail(fail_id="F-3", dk_reason="unknown trade"),
    )
    done = finops_without_guard(
        "run", "-", "--backend", "ollama", "--host", server.url, stdin=stdin
    )
    assert done.returncode == 3
    assert [line["fail_id"] for line in rows(done.stdout)] == ["F-1"]
    assert "call back" not in all_text(server, done.stdout, done.stderr)


def test_run_without_guard_answers_records_without_text(
    server: FakeOllama, finops_without_guard: Finops
) -> None:
    """A run with models does not need the guard extra for records without free text."""
    done = finops_without_guard(
        "run", "-", "--backend", "ollama", "--host", server.url, stdin=jsonl(a_fail())
    )
    [line] = rows(done.stdout)
    assert (done.returncode, "masked" in line["provenance"]) == (0, False)


def test_guard_on_without_the_extra_withholds_text(
    server: FakeOllama, finops_without_guard: Finops
) -> None:
    """With `--guard on` and no guard extra the model gets the record without its text. The line
    lists WITHHELD.
    """
    stdin = jsonl(a_fail(notes="call Jane back", dk_reason="unknown trade"), a_fail(fail_id="F-2"))
    done = finops_without_guard(
        "run", "-", "--backend", "ollama", "--host", server.url, "--guard", "on", stdin=stdin
    )
    assert done.returncode == 0, done.stderr
    assert [line["provenance"].get("masked") for line in rows(done.stdout)] == [["WITHHELD"], None]
    assert "[WITHHELD]" in sent_text(server)
    assert "Jane" not in all_text(server, done.stdout, done.stderr)
    assert "masked       WITHHELD 1" in done.stderr.decode()


def test_guard_scans_the_reason_of_a_resolver_case(
    server: FakeOllama, finops_without_guard: Finops, finops: Finops
) -> None:
    """The reason in a resolver case is free text: it needs the guard, can be withheld, and is
    masked.
    """
    case = (EXAMPLES / "cards" / "cases.jsonl").read_bytes().splitlines(keepends=True)[0]
    arguments = ("resolve", "-", "--backend", "ollama", "--host", server.url)
    assert finops_without_guard(*arguments, stdin=case).returncode == 3
    withheld = finops_without_guard(*arguments, "--guard", "on", stdin=case)
    assert withheld.returncode == 0, withheld.stderr
    assert rows(withheld.stdout)[0]["provenance"]["masked"] == ["WITHHELD"]
    pytest.importorskip("presidio_analyzer")
    changed = json.loads(case)
    changed["triage"]["reason"] = "Client 123-45-6789 is short."
    masked = finops(*arguments, stdin=jsonl(changed))
    assert rows(masked.stdout)[0]["provenance"]["masked"] == ["SSN"]
    assert "123-45-6789" not in all_text(server, masked.stdout, masked.stderr)


def test_guard_off_sends_text_unchanged(server: FakeOllama, finops: Finops) -> None:
    """With `--guard off` the model gets the text unchanged and the line has no list of masked
    kinds.
    """
    done = finops(
        "run",
        "-",
        "--backend",
        "ollama",
        "--host",
        server.url,
        "--guard",
        "off",
        stdin=jsonl(a_fail(notes="SSN 123-45-6789")),
    )
    assert (done.returncode, "123-45-6789" in sent_text(server)) == (0, True)
    assert "masked" not in rows(done.stdout)[0]["provenance"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_engine_run_masks_only_with_the_guard_option(workers: int, finops: Finops) -> None:
    """The rules engine sends nothing, so it masks only with `--guard`. Then it masks names and
    error messages too, with any number of workers.
    """
    pytest.importorskip("presidio_analyzer")
    stdin = jsonl(
        a_fail(fail_id="jane@bank.com", notes="SSN 123-45-6789"), {"cusip": "mail jane@bank.com"}
    )
    plain = finops("run", "-", "--backend", "engine", "--workers", workers, stdin=stdin)
    assert "masked" not in rows(plain.stdout)[0]["provenance"]
    for mode in ("require", "on"):
        done = finops(
            "run", "-", "--backend", "engine", "--guard", mode, "--workers", workers, stdin=stdin
        )
        first, second = rows(done.stdout)
        assert (first["fail_id"], first["provenance"]["masked"]) == ("[EMAIL]", ["EMAIL", "SSN"])
        assert second["provenance"]["masked"] == ["EMAIL"]
        assert b"jane@bank" not in done.stdout + done.stderr


def test_check_raw_accepts_a_masked_fail_id(
    server: FakeOllama, finops: Finops, tmp_path: Path
) -> None:
    """`finops check --raw` accepts the raw answer of a record whose `fail_id` was masked."""
    pytest.importorskip("presidio_analyzer")
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(fail_id="desk/jane@bank.com")))
    run = (
        "run",
        tmp_path / "fails.jsonl",
        "--backend",
        "ollama",
        "--host",
        server.url,
        "--keep-raw",
    )
    (tmp_path / "out.jsonl").write_bytes(finops(*run).stdout)
    judged = finops("check", tmp_path / "out.jsonl", "--fails", tmp_path / "fails.jsonl", "--raw")
    assert (judged.returncode, b"jane" in judged.stdout) == (0, False), judged.stdout


def test_repeated_masked_fail_id_is_rejected_unseen(finops: Finops) -> None:
    """Two names with the same placeholder are two records. The same name twice is a repetition, and
    the message shows only the placeholder.
    """
    pytest.importorskip("presidio_analyzer")
    stdin = jsonl(
        *(a_fail(fail_id=name) for name in ("jane@bank.com", "raj@bank.com", "jane@bank.com"))
    )
    done = finops("run", "-", "--backend", "engine", "--guard", "on", stdin=stdin)
    lines = rows(done.stdout)
    assert [line["status"] for line in lines] == ["ok", "ok", "rejected"]
    assert "fail_id [EMAIL] was used on line 1 already" in lines[2]["error"]["message"]
    assert b"@bank" not in done.stdout


def test_resume_with_another_guard_mode_is_refused(finops: Finops, tmp_path: Path) -> None:
    """A guarded run resumes with the same `--guard` mode and recognises masked names. Another mode
    is refused.
    """
    pytest.importorskip("presidio_analyzer")
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(a_fail(fail_id="jane@bank.com"), a_fail(fail_id="F-2")))
    run = ("run", fails, "-o", output, "--backend", "engine", "--no-timing")
    assert finops(*run, "--guard", "on").returncode == 0
    whole = output.read_bytes()
    output.write_bytes(whole.splitlines(keepends=True)[0] + b'{"torn')
    refused = finops(*run, "--resume")
    assert (
        refused.returncode,
        b"what becomes of free text (--guard): was masked, now none" in refused.stderr,
    ) == (2, True)
    assert finops(*run, "--resume", "--guard", "require").returncode == 0
    assert output.read_bytes() == whole


def test_check_matches_a_masked_fail_id_to_its_record(finops: Finops, tmp_path: Path) -> None:
    """The checker matches a masked `fail_id` with the record whose name it can stand for, and with
    no other.
    """
    pytest.importorskip("presidio_analyzer")
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(fail_id="desk/jane@bank.com")))
    line = rows(
        finops("run", tmp_path / "fails.jsonl", "--backend", "engine", "--guard", "on").stdout
    )[0]
    for name, code in (("desk/[EMAIL]", 0), ("box/[EMAIL]", 1), ("desk/[SSN]", 1), ("desk/", 1)):
        stdin = jsonl({**json.loads(json.dumps(line, default=float)), "fail_id": name})
        assert (
            finops("check", "-", "--fails", tmp_path / "fails.jsonl", stdin=stdin).returncode
            == code
        ), name


@pytest.mark.slow
def test_guarded_run_connects_only_to_the_server(server: FakeOllama, tmp_path: Path) -> None:
    """A run with a model and the guard looks up no name and opens no connection except to its
    server.
    """
    pytest.importorskip("presidio_analyzer")
    watch = (
        "import sys\ndef watch(event, given):\n    if event in ('socket.connect',"
        " 'socket.getaddrinfo', 'socket.sendto', 'socket.gethostbyname'):\n        print('REACHED',"
        " event, given[1:] if event == 'socket.connect' else given,"
        " file=sys.stderr)\nsys.addaudithook(watch)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(watch)
    command = [
        sys.executable,
        "-m",
        "finops_cli",
        "run",
        "-",
        "--backend",
        "ollama",
        "--host",
        server.url,
    ]
    stdin = jsonl(a_fail(notes="mail jane@example.com, SSN 123-45-6789"))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    reached = [line for line in done.stderr.decode().splitlines() if line.startswith("REACHED")]
    assert any("socket.connect" in line for line in reached), "the watch sees a connection"
    assert [line for line in reached if "127.0.0.1" not in line] == []
