"""Runs with models and free text: personal data goes nowhere, the desk's own numbers go everywhere,
and nothing is sent unread.
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
from tests.support.ollama_models import model_run, warms_up
from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl, rows


def _sent(server: FakeOllama) -> str:
    """All that the server was sent about records, prompts included."""
    return json.dumps(
        [request.body for request in server.received if not warms_up(request)], ensure_ascii=False
    )


def _everything(server: FakeOllama, output: bytes, talk: bytes) -> str:
    return _sent(server).replace("\\n", "\n") + output.decode() + talk.decode()


PLANTED = [(kind, number) for kind in personal_data.PLANTED for number in range(50)]


def _planted_fails(
    draw: personal_data.Draw,
) -> tuple[list[dict[str, Any]], list[personal_data.Planted]]:
    """A fail for each piece of personal data: in the notes, the reason of a DK, what an importer
    kept, or a line that is no record.
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


def test_planted_personal_data_is_in_no_prompt_capture_log_or_output(
    server: FakeOllama, tmp_path: Path, finops: Finops, quick_kb: Path
) -> None:
    """500 pieces of ten kinds in every place that holds text; each line says what was masked in its
    record.
    """
    pytest.importorskip("presidio_analyzer")
    fails, planted = _planted_fails(Random(5))
    assert len(planted) == 500
    assert len(personal_data.PLANTED) == 10
    (tmp_path / "fails.jsonl").write_bytes(jsonl(*fails))
    command = model_run(quick_kb, server, tmp_path / "fails.jsonl", "--keep-raw", "--workers", 4)
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    said = _everything(server, done.stdout, done.stderr)
    lines = rows(done.stdout)
    assert len(lines) == len(fails)
    leaked = [made for made in planted if made.what in said]
    assert leaked == []
    for line, made in zip(lines, planted, strict=True):
        assert made.kind in line["provenance"]["masked"], (made, line)
    judged = finops(
        "--kb", quick_kb, "check", "-", "--fails", tmp_path / "fails.jsonl", stdin=done.stdout
    )
    assert judged.returncode == 0, judged.stdout[:500]


def test_look_alikes_reach_the_model_to_the_letter(
    server: FakeOllama, tmp_path: Path, quick_kb: Path
) -> None:
    """500 CUSIPs, ISINs, DTC numbers, quantities, prices and dates in notes: none is masked."""
    pytest.importorskip("presidio_analyzer")
    draw = Random(6)
    kinds = list(look_alikes.LOOK_ALIKES)
    notes = [look_alikes.look_alike(draw, kinds[number % len(kinds)]) for number in range(500)]
    (tmp_path / "fails.jsonl").write_bytes(
        jsonl(*(a_fail(fail_id=f"L-{n}", notes=note) for n, note in enumerate(notes)))
    )
    command = model_run(quick_kb, server, tmp_path / "fails.jsonl", "--workers", 4)
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    prompts = "\n".join(request.prompt for request in server.received)
    assert [note for note in notes if note not in prompts] == []
    assert {tuple(line["provenance"]["masked"]) for line in rows(done.stdout)} == {()}


def test_nothing_is_sent_of_a_file_with_text_that_nobody_can_read_first(
    server: FakeOllama, bare: Finops, tmp_path: Path
) -> None:
    """`require` is the default with models: the last record has a note, and not even the first is
    sent. Exit 3 names the cure.
    """
    (tmp_path / "fails.jsonl").write_bytes(
        jsonl(a_fail(), a_fail(fail_id="F-2", notes="call back"))
    )
    output = tmp_path / "out.jsonl"
    for mode in ([], ["--guard", "require"]):
        done = bare(
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
    assert [one for one in server.received if not warms_up(one)] == []


def test_a_pipe_ends_at_the_record_that_nobody_can_read_first(
    server: FakeOllama, bare: Finops
) -> None:
    """It cannot be looked through beforehand; what stands before that record is answered."""
    given = jsonl(
        a_fail(),
        a_fail(fail_id="F-2", notes="call back"),
        a_fail(fail_id="F-3", dk_reason="unknown trade"),
    )
    done = bare("run", "-", "--backend", "ollama", "--host", server.url, stdin=given)
    assert done.returncode == 3
    assert [line["fail_id"] for line in rows(done.stdout)] == ["F-1"]
    assert "call back" not in _everything(server, done.stdout, done.stderr)


def test_records_without_text_need_no_guard(server: FakeOllama, bare: Finops) -> None:
    done = bare("run", "-", "--backend", "ollama", "--host", server.url, stdin=jsonl(a_fail()))
    [line] = rows(done.stdout)
    assert (done.returncode, "masked" in line["provenance"]) == (0, False)


def test_without_the_guard_text_can_be_withheld(server: FakeOllama, bare: Finops) -> None:
    """`--guard on`: the record goes, its text stays; the line says so, and the answer is the
    engine's all the same.
    """
    given = jsonl(a_fail(notes="call Jane back", dk_reason="unknown trade"), a_fail(fail_id="F-2"))
    done = bare(
        "run", "-", "--backend", "ollama", "--host", server.url, "--guard", "on", stdin=given
    )
    assert done.returncode == 0, done.stderr
    assert [line["provenance"].get("masked") for line in rows(done.stdout)] == [["WITHHELD"], None]
    assert "[WITHHELD]" in _sent(server)
    assert "Jane" not in _everything(server, done.stdout, done.stderr)
    assert "masked       WITHHELD 1" in done.stderr.decode()


def test_a_resolver_input_has_text_too(server: FakeOllama, bare: Finops, finops: Finops) -> None:
    """The reason of its triage was written by whoever made it."""
    case = (EXAMPLES / "cards" / "cases.jsonl").read_bytes().splitlines(keepends=True)[0]
    asked = ("resolve", "-", "--backend", "ollama", "--host", server.url)
    assert bare(*asked, stdin=case).returncode == 3
    withheld = bare(*asked, "--guard", "on", stdin=case)
    assert withheld.returncode == 0, withheld.stderr
    assert rows(withheld.stdout)[0]["provenance"]["masked"] == ["WITHHELD"]
    pytest.importorskip("presidio_analyzer")
    changed = json.loads(case)
    changed["triage"]["reason"] = "Client 123-45-6789 is short."
    masked = finops(*asked, stdin=jsonl(changed))
    assert rows(masked.stdout)[0]["provenance"]["masked"] == ["SSN"]
    assert "123-45-6789" not in _everything(server, masked.stdout, masked.stderr)


def test_off_sends_text_as_it_is_and_only_when_told(server: FakeOllama, finops: Finops) -> None:
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
    assert (done.returncode, "123-45-6789" in _sent(server)) == (0, True)
    assert "masked" not in rows(done.stdout)[0]["provenance"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_engine_masks_when_told(workers: int, finops: Finops) -> None:
    """It asks nobody, so nothing is masked unless `--guard` says so; names and faults are masked
    then, in every process.
    """
    pytest.importorskip("presidio_analyzer")
    given = jsonl(
        a_fail(fail_id="jane@bank.com", notes="SSN 123-45-6789"), {"cusip": "mail jane@bank.com"}
    )
    plain = finops("run", "-", "--backend", "engine", "--workers", workers, stdin=given)
    assert "masked" not in rows(plain.stdout)[0]["provenance"]
    for mode in ("require", "on"):
        done = finops(
            "run", "-", "--backend", "engine", "--guard", mode, "--workers", workers, stdin=given
        )
        first, second = rows(done.stdout)
        assert (first["fail_id"], first["provenance"]["masked"]) == ("[EMAIL]", ["EMAIL", "SSN"])
        assert second["provenance"]["masked"] == ["EMAIL"]
        assert b"jane@bank" not in done.stdout + done.stderr


def test_the_raw_of_a_masked_name_is_judged_too(
    server: FakeOllama, finops: Finops, tmp_path: Path
) -> None:
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


def test_repeated_names_are_told_without_being_shown(finops: Finops) -> None:
    """Two people of one placeholder are two records; one address twice is a repetition."""
    pytest.importorskip("presidio_analyzer")
    given = jsonl(
        *(a_fail(fail_id=name) for name in ("jane@bank.com", "raj@bank.com", "jane@bank.com"))
    )
    done = finops("run", "-", "--backend", "engine", "--guard", "on", stdin=given)
    lines = rows(done.stdout)
    assert [line["status"] for line in lines] == ["ok", "ok", "rejected"]
    assert "fail_id [EMAIL] was used on line 1 already" in lines[2]["error"]["message"]
    assert b"@bank" not in done.stdout


def test_a_guarded_run_is_taken_up_under_the_same_guard_only(
    finops: Finops, tmp_path: Path
) -> None:
    """A name that was masked is known again; another `--guard` is another run."""
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


def test_check_knows_a_masked_name_again_and_no_other(finops: Finops, tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer")
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(fail_id="desk/jane@bank.com")))
    line = rows(
        finops("run", tmp_path / "fails.jsonl", "--backend", "engine", "--guard", "on").stdout
    )[0]
    for name, code in (("desk/[EMAIL]", 0), ("box/[EMAIL]", 1), ("desk/[SSN]", 1), ("desk/", 1)):
        given = jsonl({**json.loads(json.dumps(line, default=float)), "fail_id": name})
        assert (
            finops("check", "-", "--fails", tmp_path / "fails.jsonl", stdin=given).returncode
            == code
        ), name


def test_no_connection_but_loopback_is_opened(server: FakeOllama, tmp_path: Path) -> None:
    """A run with models and the guard, watched from its first instruction: names are not looked up,
    and only the server is reached.
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
    given = jsonl(a_fail(notes="mail jane@example.com, SSN 123-45-6789"))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    reached = [line for line in done.stderr.decode().splitlines() if line.startswith("REACHED")]
    assert any("socket.connect" in line for line in reached), "the watch sees a connection"
    assert [line for line in reached if "127.0.0.1" not in line] == []
