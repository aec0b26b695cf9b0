"""`python -m finops_cli.devtools.fake_ollama`: its faults can be repeated, and it ends as a command
should.
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

SECONDS = 10


def test_faults_are_drawn_from_seed_prompt_and_attempt() -> None:
    """The same seed repeats them in any order; all faults and errors together take their share."""

    def drawn(seed: int, numbers: range) -> list[Behaviour]:
        script = faulty({"torn": 0.2, "busy": 0.2}, 0.2, seed)
        return [
            script(ReceivedRequest(number, "m", None, f"prompt {number}", {}, 1))
            for number in numbers
        ]

    forth, back = drawn(7, range(1000)), drawn(7, range(999, -1, -1))
    assert [type(one) for one in forth] == [type(one) for one in reversed(back)]
    assert [type(one) for one in forth] != [type(one) for one in drawn(8, range(1000))]
    assert all(140 < forth.count(fault) < 260 for fault in (Torn(), Busy()))
    assert 340 < forth.count(CorrectAnswer()) < 460


@pytest.mark.parametrize(
    ("shares", "wrong"), [({"earthquake": 0.1}, 0.0), ({"torn": 0.8}, 0.4), ({"torn": -0.1}, 0.0)]
)
def test_faults_that_cannot_be_are_usage_errors(shares: dict[str, float], wrong: float) -> None:
    with pytest.raises(UsageError, match="--fault"):
        faulty(shares, wrong, 7)


def test_the_command_serves_until_it_is_interrupted() -> None:
    """One line on stderr, exit 0 after Ctrl-C, and a port that is taken is exit 2."""
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


def test_a_wrong_answer_is_json_with_a_number_that_is_off() -> None:
    """`--wrong 1`: whole, well formed, and not the engine's."""
    with FakeOllama(faulty({}, 1.0, 7)) as server, FakeOllama() as honest:
        for prompt in (TRIAGE, RESOLVER):
            wrong, right = response_text(ask(server, prompt)), response_text(ask(honest, prompt))
            assert (
                json.loads(wrong.rpartition("</think>")[2]).keys()
                == json.loads(right.rpartition("</think>")[2]).keys()
            )
            assert wrong != right


def test_it_serves_one_command_and_ends_with_its_status() -> None:
    """`-- COMMAND`: the command finds it through OLLAMA_HOST; a command that is not there is exit
    2.
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
