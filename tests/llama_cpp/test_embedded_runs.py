"""Runs with model files: the same lines, statuses and checks as with a server, without a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.ollama_models import some_fails
from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.tiny_gguf import write_tiny_gguf

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model with random weights, whose answers are wrong."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def file_options(tiny: Path) -> tuple[object, ...]:
    return ("--triage-gguf", tiny, "--resolver-gguf", tiny)


def test_llama_cpp_run_marks_every_line_and_passes_check(
    tiny: Path, finops: Finops, tmp_path: Path
) -> None:
    """A run with model files marks every line and keeps the raw answers. The checker accepts the
    output and rejects the raw answers.
    """
    output = tmp_path / "out.jsonl"
    done = finops(
        "run",
        EXAMPLES / "monday.jsonl",
        "--backend",
        "llama-cpp",
        *file_options(tiny),
        "-o",
        output,
        "--keep-raw",
        "--guard",
        "on",
    )
    assert done.returncode == 1, done.stderr
    lines = rows(output.read_bytes())
    assert {line["status"] for line in lines} == {"fallback"}
    for line in lines:
        assert line["provenance"]["models"] == {"triage": "tiny.gguf", "resolver": "tiny.gguf"}
        assert {len(digest) for digest in line["provenance"]["digests"].values()} == {64}
        assert line["raw"]["triage"][0]["text"]
    assert finops("check", output, "--fails", EXAMPLES / "monday.jsonl").returncode == 0
    assert finops("check", output, "--raw").returncode == 1


def test_llama_cpp_and_ollama_record_the_same_prompts(tiny: Path, finops: Finops) -> None:
    """A run with model files and a run with Ollama record the same digest of the prompts."""
    from finops_cli.devtools.fake_ollama import FakeOllama

    stdin = jsonl(a_fail())
    with FakeOllama() as server:
        [theirs] = rows(
            finops("run", "-", "--backend", "ollama", "--host", server.url, stdin=stdin).stdout
        )
    [ours] = rows(
        finops("run", "-", "--backend", "llama-cpp", *file_options(tiny), stdin=stdin).stdout
    )
    assert ours["provenance"]["prompt_sha256"] == theirs["provenance"]["prompt_sha256"]


def test_auto_uses_named_model_files_without_a_server(
    tiny: Path, finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a server `--backend auto` uses model files that the environment names. If one cannot
    be loaded, the engine answers with the reason on stderr.
    """
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("FINOPS_TRIAGE_GGUF", str(tiny))
    done = finops("triage", "-", stdin=jsonl(a_fail()))
    [line] = rows(done.stdout)
    assert (line["provenance"]["backend"], done.returncode) == ("llama-cpp", 1)
    assert "model files are named" in " ".join(done.stderr.decode().split())
    monkeypatch.setenv("FINOPS_TRIAGE_GGUF", str(EXAMPLES / "monday.jsonl"))
    done = finops("triage", "-", stdin=jsonl(a_fail()))
    [line] = rows(done.stdout)
    assert (line["provenance"]["backend"], done.returncode) == ("engine", 0)
    assert "monday.jsonl: is JSON" in " ".join(done.stderr.decode().split())


def test_auto_uses_the_engine_if_one_file_is_incomplete(
    tiny: Path, finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files are loaded before the first record. If one is incomplete, the engine answers and
    stderr names the file.
    """
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny.read_bytes()[:300_000])
    monkeypatch.setenv("FINOPS_TRIAGE_GGUF", str(tiny))
    monkeypatch.setenv("FINOPS_RESOLVER_GGUF", str(torn))
    done = finops("run", "-", stdin=jsonl(a_fail()))
    assert done.returncode == 0, done.stderr
    assert {line["provenance"]["backend"] for line in rows(done.stdout)} == {"engine"}
    assert "torn.gguf:iscutoff" in "".join(done.stderr.decode().split())


def test_auto_refuses_an_unusable_file_option(
    tiny: Path, finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file in an option is a usage error, also with `--quiet`."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for message, file in (
        ("no such GGUF file", tmp_path / "slip.gguf"),
        ("is cut off", tmp_path / "torn.gguf"),
    ):
        (tmp_path / "torn.gguf").write_bytes(tiny.read_bytes()[:300_000])
        done = finops("triage", "-", "--quiet", "--triage-gguf", file, stdin=jsonl(a_fail()))
        assert (done.returncode, done.stdout) == (2, b"")
        assert message in done.stderr.decode()
        assert "says no more" not in done.stderr.decode()


def test_llama_cpp_refuses_options_of_ollama(tiny: Path, finops: Finops) -> None:
    """`--host` with the llama.cpp backend ends with exit 2."""
    done = finops(
        "triage",
        "-",
        "--backend",
        "llama-cpp",
        "--triage-gguf",
        tiny,
        "--host",
        "127.0.0.1",
        stdin=jsonl(a_fail()),
    )
    assert (done.returncode, b"--host: only for --backend ollama" in done.stderr) == (2, True)


def test_resume_after_a_kill_leaves_no_model_process(
    tiny: Path, finops: Finops, tmp_path: Path
) -> None:
    """A killed run is resumed to one line for each record in order, and no model process
    is left.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*some_fails(40)))
    run = [
        "triage",
        str(fails),
        "-o",
        str(output),
        "--backend",
        "llama-cpp",
        "--triage-gguf",
        str(tiny),
        "--guard",
        "off",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "finops_cli", *run], stderr=subprocess.DEVNULL, cwd=ROOT
    )
    deadline = time.monotonic() + 60
    while not output.exists() or output.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = list_workers(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = finops(*run, "--resume")
    assert done.returncode == 1, done.stderr
    assert [line["fail_id"] for line in rows(output.read_bytes())] == [
        fail["fail_id"] for fail in some_fails(40)
    ]
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers):
        assert time.monotonic() < deadline, "a model process outlived its run"
        time.sleep(0.05)


def list_workers(parent: int) -> list[int]:
    """The model processes that `parent` started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ppid = (process / "stat").read_text().rpartition(")")[2].split()[1]
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if ppid == str(parent) and b"llama_cpp.worker" in command:
            found.append(int(process.name))
    return found


def test_doctor_checks_named_model_files(tiny: Path, finops: Finops) -> None:
    """The doctor checks the context, the digest and one live record of named files. A missing file
    is broken and has a fix.
    """
    done = finops("doctor", "--json", *file_options(tiny))
    found = {piece["what"]: piece for piece in json.loads(done.stdout)}
    assert found["triage file"]["state"] == found["resolver file"]["state"] == "ok"
    assert (found["live record"]["state"], "status fallback" in found["live record"]["detail"]) == (
        "poor",
        True,
    )
    assert done.returncode == 0
    done = finops("doctor", "--json", "--triage-gguf", "absent.gguf", "--resolver-gguf", tiny)
    found = {piece["what"]: piece for piece in json.loads(done.stdout)}
    assert (done.returncode, found["llama.cpp"]["state"]) == (3, "broken")
    assert found["llama.cpp"]["cure"]


_WATCH = """
import os, sys
def note(*words):
    with open(os.environ["FINOPS_TEST_WATCHED"], "a") as file:
        print(*words, os.getpid(), file=file)
def watch(event, given):
    if event in (
        "socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg",
        "socket.gethostbyname"):
        note("REACHED", event, given)
sys.addaudithook(watch)
note("WATCHED")
"""


def test_llama_cpp_run_opens_no_connection(tiny: Path, tmp_path: Path) -> None:
    """Neither finops nor the model's process opens a network connection."""
    (tmp_path / "sitecustomize.py").write_text(_WATCH)
    log = tmp_path / "connections.txt"
    command = [
        sys.executable,
        "-m",
        "finops_cli",
        "triage",
        "-",
        "--backend",
        "llama-cpp",
        "--triage-gguf",
        str(tiny),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "FINOPS_TEST_WATCHED": str(log),
    }
    done = subprocess.run(
        command, input=jsonl(a_fail()), capture_output=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 1, done.stderr
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [words for words in lines if words[0] == "REACHED"] == []
    assert len({pid for word, pid in lines if word == "WATCHED"}) == 2
