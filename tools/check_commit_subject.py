"""Check the subject line of a commit message, as a `commit-msg` hook.

Usage: check_commit_subject.py FILE, where FILE holds the message.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MOST = 72
NOT_IMPERATIVE = re.compile(
    r"(?:added|adds|adding|fixed|fixes|fixing|changed|changes|changing|removed|removes|removing"
    r"|updated|updates|updating|renamed|renames|renaming|moved|moves|moving)\b",
    re.IGNORECASE,
)
"""Verbs in another form than the imperative, where people use them most."""


def find_faults(message: str) -> list[str]:
    """Return what is wrong with the first line of a commit message, and how to fix it."""
    subject = next((line for line in message.splitlines() if not line.startswith("#")), "").strip()
    faults = []
    if not subject:
        return ["the subject is empty; say in the imperative what the commit does"]
    if len(subject) > MOST:
        faults.append(f"the subject has {len(subject)} characters; use at most {MOST}")
    if subject.endswith("."):
        faults.append("the subject ends with a full stop; leave it out")
    if subject[0].islower():
        faults.append("the subject begins with a small letter; begin with a capital")
    if NOT_IMPERATIVE.match(subject):
        faults.append(f"the subject begins with {subject.split()[0]!r}; use the imperative")
    return faults


def main(arguments: list[str]) -> int:
    """Print the faults of the message in the file; return 1 if it has any."""
    faults = find_faults(Path(arguments[0]).read_text(encoding="utf-8"))
    for fault in faults:
        sys.stderr.write(f"commit message: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
