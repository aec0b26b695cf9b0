"""The guard is an extra: without it the cure is named; with it nothing but the disk is asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finops_cli import extras
from finops_cli.errors import KnowledgeError
from finops_cli.guard.detector import Guard, open_guard
from finops_cli.kb.load import bundled_kb_dir, load_kb


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )


OPENS = (
    "from finops_cli.guard.detector import open_guard\nfrom finops_cli.kb.load import load_kb,"
    " bundled_kb_dir\n"
)


def test_without_the_extra_the_cure_is_named() -> None:
    """Whoever asks for the guard is told what to install; asking whether it is there, and masking
    nothing, needs nothing.
    """
    done = _python(
        "import sys\nsys.modules['presidio_analyzer'] = None\n"
        + OPENS
        + "from finops_cli.errors import MissingPiece\nimport finops_cli.guard.records\n"
        + "try:\n    open_guard(load_kb(bundled_kb_dir()).guard)\n"
        "except MissingPiece as missing:\n    print(missing.cure, missing.exit_code)\n"
    )
    assert done.stdout.strip() == f"{extras.cure('guard')} 3", done.stderr


def test_an_extra_that_cannot_be_loaded_is_told_when_it_is_needed() -> None:
    """A presidio that is there but broken: no text passes unread, and the message says what
    broke.
    """
    pytest.importorskip("presidio_analyzer")
    done = _python(
        OPENS + "import sys\nfrom finops_cli.errors import MissingPiece\nguard ="
        " open_guard(load_kb(bundled_kb_dir()).guard)\n"
        + "assert guard.mask('no digits that mean a person: 5,000 shares').kinds == ()\n"
        + "sys.modules['presidio_analyzer'] = None\n"
        + "try:\n    guard.mask('SSN 123-45-6789')\nexcept MissingPiece as missing:\n   "
        " print(missing)\n"
    )
    assert "cannot be loaded" in done.stdout, done.stderr


def test_nothing_is_loaded_before_the_guard_is_opened() -> None:
    """`--help` and runs without a model do not wait for presidio."""
    done = _python(
        OPENS
        + "import finops_cli.guard.records, sys\nprint('presidio_analyzer' in sys.modules, 'spacy'"
        " in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_no_socket_but_loopback_opens() -> None:
    """Opening and masking, addresses of every domain included, ask no name server and connect
    nowhere; no process is started.
    """
    pytest.importorskip("presidio_analyzer")
    done = _python(
        "import sys\ndef watch(event, given):\n    if event in ('socket.connect',"
        " 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto', 'socket.bind',"
        " 'urllib.Request',\n                 'subprocess.Popen', 'os.system', 'os.posix_spawn'):\n"
        "        print('REACHED', event, given)\nsys.addaudithook(watch)\n"
        + OPENS
        + "guard = open_guard(load_kb(bundled_kb_dir()).guard)\n"
        + "text = 'a@b.co.uk x@y.internal jane@xn--mnchen-3ya.de +44 20 7946 0018 4111111111111111"
        " DE89370400440532013000 123-45-6789'\n"
        + "print(guard.mask(text).text, guard.mask_reference(text).kinds)\n"
        + "import socket\ntry:\n    socket.socket().connect(('127.0.0.1', 9))\nexcept OSError:\n   "
        " pass\n"
    )
    reached = [line for line in done.stdout.splitlines() if line.startswith("REACHED")]
    assert "[EMAIL] [EMAIL] [EMAIL] [PHONE] [CARD] [IBAN] [SSN]" in done.stdout, done.stderr
    assert [
        line for line in reached if "('127.0.0.1', " not in line and "('::1', " not in line
    ] == []
    assert any("socket.connect" in line for line in reached), "the watch sees a connection"


def test_nothing_is_logged_of_a_text(
    guard: Guard, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Presidio logs what it cannot validate; nothing of ours reaches that."""
    caplog.set_level(0)
    guard.mask(
        "SSN 123-45-6789 IBAN DE89 3704 0044 0532 0130 0\u00df and GB\u00b2\u00b29 NWBK 6016 1331"
        " 9268 19, card 4111 1111 1111 1112"
    )
    assert [
        record.getMessage()
        for record in caplog.records
        if not record.getMessage().startswith("Loaded recognizer: ")
    ] == []
    assert capfd.readouterr() == ("", "")


def _own_kb(tmp_path: Path, old: str, new: str) -> Path:
    kb_dir = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    text = (kb_dir / "guard.toml").read_text()
    assert text.count(old) == 1
    (kb_dir / "guard.toml").write_text(text.replace(old, new))
    return kb_dir


@pytest.mark.parametrize(
    ("old", "new", "text", "masked"),
    [
        ("account_long = 0.6", "account_long = 0.2", "12345678901", "12345678901"),
        ('clabe = "Mexican account"', 'konto = "account"', "Konto 12345678", "Konto [ACCOUNT]"),
        ('warrants = "warrants"', 'stk = "shares"', "account 5000000 stk", "account 5000000 stk"),
        ("shortest = 5", "shortest = 4", "acct 4321", "acct [ACCOUNT]"),
        ("members = { before = 48", "members = { before = 5", "SSN of her late uncle 123456789",
        "SSN of her late uncle 123456789"),
    ],
)  # fmt: skip
def test_a_desk_changes_scores_and_words_without_touching_code(
    old: str, new: str, text: str, masked: str, tmp_path: Path, guard: Guard
) -> None:
    assert guard.mask(text).text != masked
    assert open_guard(load_kb(_own_kb(tmp_path, old, new)).guard).mask(text).text == masked


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("account_long = 0.6", "account_long = 6", "guard.scores"),
        ("members = { text = 0.5", "members = { text = 0", "guard.thresholds"),
        ("value = 8\n", "value = 0\n", "guard.passes"),
        ("members = { before = 48", "members = { before = 4800", "guard.reach"),
        ("shortest = 5", "shortest = 9", "guard.account_digits"),
        ('ibans = "international bank account numbers"', '"" = "nothing"', "guard.words_iban"),
    ],
)  # fmt: skip
def test_a_guard_that_would_not_guard_is_refused(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(KnowledgeError, match=says):
        load_kb(_own_kb(tmp_path, old, new))
