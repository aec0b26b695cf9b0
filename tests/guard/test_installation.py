"""The guard as an optional extra: the fix when it is missing, its settings in kb/, and no network
access.
"""

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


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )


OPENS = (
    "from finops_cli.guard.detector import open_guard\nfrom finops_cli.kb.load import load_kb,"
    " bundled_kb_dir\n"
)


def test_open_guard_without_the_extra_names_the_fix() -> None:
    """Opening the guard without its extra raises MissingPiece with the install command and exit
    code 3. Importing its record functions needs no extra.
    """
    done = run_python(
        "import sys\nsys.modules['presidio_analyzer'] = None\n"
        + OPENS
        + "from finops_cli.errors import MissingPiece\nimport finops_cli.guard.records\n"
        + "try:\n    open_guard(load_kb(bundled_kb_dir()).guard)\n"
        "except MissingPiece as missing:\n    print(missing.cure, missing.exit_code)\n"
    )
    assert done.stdout.strip() == f"{extras.cure('guard')} 3", done.stderr


def test_guard_with_a_broken_extra_raises_on_use() -> None:
    """If presidio is installed but cannot be loaded, masking a text with digits raises MissingPiece
    instead of passing the text.
    """
    pytest.importorskip("presidio_analyzer")
    done = run_python(
        OPENS + "import sys\nfrom finops_cli.errors import MissingPiece\nguard ="
        " open_guard(load_kb(bundled_kb_dir()).guard)\n"
        + "assert guard.mask('no digits that mean a person: 5,000 shares').kinds == ()\n"
        + "sys.modules['presidio_analyzer'] = None\n"
        + "try:\n    guard.mask('SSN 123-45-6789')\nexcept MissingPiece as missing:\n   "
        " print(missing)\n"
    )
    assert "cannot be loaded" in done.stdout, done.stderr


def test_guard_import_does_not_load_presidio() -> None:
    """Importing the guard loads neither presidio nor spaCy, so `--help` and runs without a model
    start fast.
    """
    done = run_python(
        OPENS
        + "import finops_cli.guard.records, sys\nprint('presidio_analyzer' in sys.modules, 'spacy'"
        " in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.slow
def test_guard_opens_no_connection_and_no_process() -> None:
    """Opening the guard and masking text looks up no name, connects to no address outside this
    machine and starts no process.
    """
    pytest.importorskip("presidio_analyzer")
    done = run_python(
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


def test_guard_logs_no_part_of_a_text(
    guard: Guard, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither finops nor presidio logs or prints any part of a text that is masked."""
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


def kb_with_change(tmp_path: Path, old: str, new: str) -> Path:
    kb_dir = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    text = (kb_dir / "guard.toml").read_text()
    assert text.count(old) == 1
    (kb_dir / "guard.toml").write_text(text.replace(old, new))
    return kb_dir


@pytest.mark.parametrize(
    ("old", "new", "text", "masked"),
    [
        ("account_long = 0.6", "account_long = 0.2", "12345678901", "12345678901"),
        ('clabe = "Mexican account"', 'rekening = "account"', "Rekening 12345678",
        "Rekening [ACCOUNT]"),
        ('clabe = "Mexican account"', '"reken*" = "stem"', "Rekeningen: 12345678",
        "Rekeningen: [ACCOUNT]"),
        ('warrants = "warrants"', 'stk = "shares"', "account 5000000 stk", "account 5000000 stk"),
        ("shortest = 5", "shortest = 4", "acct 4321", "acct [ACCOUNT]"),
        ("members = { before = 48", "members = { before = 5", "SSN of her late uncle 123456789",
        "SSN of her late uncle 123456789"),
    ],
)  # fmt: skip
def test_changed_guard_entry_in_kb_changes_the_mask(
    old: str, new: str, text: str, masked: str, tmp_path: Path, guard: Guard
) -> None:
    """A desk can change the guard's scores and context words in its own kb/, and the masked text
    follows.
    """
    assert guard.mask(text).text != masked
    assert open_guard(load_kb(kb_with_change(tmp_path, old, new)).guard).mask(text).text == masked


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("account_long = 0.6", "account_long = 6", "guard.scores"),
        ("members = { text = 0.5", "members = { text = 0", "guard.thresholds"),
        ("value = 8\n", "value = 0\n", "guard.passes"),
        ("members = { before = 48", "members = { before = 4800", "guard.reach"),
        ("shortest = 5", "shortest = 9", "guard.account_digits"),
        ('ibans = "international bank account numbers"', '"" = "nothing"', "guard.words_iban"),
        ('ibans = "international bank account numbers"', '"*" = "anything"', "guard.words_iban"),
    ],
)  # fmt: skip
def test_kb_with_useless_guard_settings_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Guard settings that would mask nothing, or that contradict each other, are refused with the
    name of their entry.
    """
    with pytest.raises(KnowledgeError, match=message):
        load_kb(kb_with_change(tmp_path, old, new))
