"""The command `python -m finops_cli.devtools.fake_ollama`: repeatable faults, exit codes and
interrupts.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from finops_cli.devtools.fake_ollama import (
    Behaviour,
    Busy,
    CorrectAnswer,
    FakeOllama,
    ReceivedRequest,
    Torn,
)
from finops_cli.devtools.fake_ollama.faults import faulty
from finops_cli.errors import UsageError
from tests.ollama.test_fake_ollama import CLIENT, RESOLVER, TRIAGE, ask, body, response_text

SECONDS = 60


def test_fake_ollama_faults_repeat_for_the_same_seed() -> None:
    """The same seed gives each prompt the same fault in any order, and each fault has its requested
    proportion.
    """

    def draw_faults(seed: int, numbers: range) -> list[Behaviour]:
        script = faulty({"torn": 0.2, "busy": 0.2}, 0.2, seed)
        return [
            script(ReceivedRequest(number, "m", None, f"prompt {number}", {}, 1))
            for number in numbers
        ]

    forth, back = draw_faults(7, range(1000)), draw_faults(7, range(999, -1, -1))
    assert [type(one) for one in forth] == [type(one) for one in reversed(back)]
    assert [type(one) for one in forth] != [type(one) for one in draw_faults(8, range(1000))]
    assert all(140 < forth.count(fault) < 260 for fault in (Torn(), Busy()))
    assert 340 < forth.count(CorrectAnswer()) < 460


@pytest.mark.parametrize(
    ("shares", "wrong"), [({"earthquake": 0.1}, 0.0), ({"torn": 0.8}, 0.4), ({"torn": -0.1}, 0.0)]
)
def test_fake_ollama_impossible_fault_options_are_refused(
    shares: dict[str, float], wrong: float
) -> None:
    """An unknown fault, a negative proportion and proportions above 1 raise UsageError."""
    with pytest.raises(UsageError, match="--fault"):
        faulty(shares, wrong, 7)


def test_fake_ollama_command_serves_until_interrupted() -> None:
    """The command prints its address and ends with exit 0 after Ctrl-C. A port in use is exit 2."""
    command = [
        sys.executable,
        "-m",
        "finops_cli.devtools.fake_ollama",
        "--fault",
        "busy=1",
        "--port",
    ]
    with subprocess.Popen([*command, "0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = process.stderr.readline().split()[3]
            statuses = [
                CLIENT.post(f"{url}/api/generate", json=body()).status_code,
                CLIENT.get(f"{url}/api/version").status_code,
            ]
            process.send_signal(signal.SIGINT)
            assert (process.wait(SECONDS), statuses, process.stderr.read()) == (0, [503, 200], "")
        finally:
            process.kill()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = subprocess.run(
            [*command, str(taken.getsockname()[1])],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    assert (second.returncode, b"another one: --port 0" in second.stderr) == (2, True)


def test_fake_ollama_wrong_answer_is_valid_json() -> None:
    """`--wrong 1` gives well-formed answers with the right fields that differ from the engine's."""
    with FakeOllama(faulty({}, 1.0, 7)) as server, FakeOllama() as honest:
        for prompt in (TRIAGE, RESOLVER):
            wrong, right = response_text(ask(server, prompt)), response_text(ask(honest, prompt))
            assert (
                json.loads(wrong.rpartition("</think>")[2]).keys()
                == json.loads(right.rpartition("</think>")[2]).keys()
            )
            assert wrong != right


def test_fake_ollama_serves_one_command_and_returns_its_exit() -> None:
    """After `--` the command gets the server in OLLAMA_HOST and its exit status is returned. A
    missing command is exit 2.
    """
    command = [sys.executable, "-m", "finops_cli.devtools.fake_ollama", "--"]
    seen = (
        "import os, urllib.request as u; print(u.urlopen(os.environ['OLLAMA_HOST'] +"
        " '/api/version').read().decode()); raise SystemExit(5)"
    )
    done = subprocess.run(
        [*command, sys.executable, "-c", seen], capture_output=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, json.loads(done.stdout)) == (5, {"version": "0.33.0"})
    absent = subprocess.run(
        [*command, "no-such-command"], capture_output=True, timeout=SECONDS, check=False
    )
    assert (absent.returncode, absent.stderr) == (
        2,
        b"no-such-command: No such file or directory\n",
    )
