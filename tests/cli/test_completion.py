"""Shell completion: the program completes commands, options and the names of stages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("finops dr", {"drift"}),
        ("finops import cs", {"csv"}),
        ("finops kb show --h", {"--help"}),
        ("finops generate --stage ", {"triage", "resolver", "sentiment"}),
    ],
)
def test_completion_of_a_begun_word_lists_what_fits(words: str, expected: set[str]) -> None:
    """A shell passes the typed words and gets each word that may follow."""
    typed = words.split(" ")
    environment = {
        **os.environ,
        "_FINOPS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(typed) - 1),
    }
    program = "import sys; sys.argv = ['finops']; from finops_cli.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == expected
