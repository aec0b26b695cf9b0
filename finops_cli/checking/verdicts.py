"""The verdict of `finops check` about one line, and the findings in it."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.finding import Finding, Problem
from finops_cli.verify.sentences.check import UNVERIFIABLE

MADE_WITH = "check.made_with"
"""A line that other rules made, and that is right by those which judge it."""
_NOTES = (UNVERIFIABLE, MADE_WITH)


class Verdict(Struct, frozen=True):
    """The findings about one line.

    Paths point into the triage or the resolution of the line.
    """

    line: int
    """Counted from 1."""
    ok: bool
    findings: list[Finding]
    notes: list[Finding] | UnsetType = UNSET
    """Sentences that cannot be judged (`text.unverifiable`), and the rules that made the line where
    they are not those of the check (`check.made_with`); absent without one.
    """
    cusip: str | UnsetType = UNSET
    """The security whose proof was checked; only in verdicts about a certificate."""


def make_verdict(line: int, found: list[Finding]) -> Verdict:
    """Make the verdict of a line. A sentence that cannot be judged is a note, not a finding."""
    findings = without_notes(found)
    notes = [each for each in found if each.rule in _NOTES]
    return Verdict(line, not findings, findings, notes or UNSET)


def without_notes(found: list[Finding]) -> list[Finding]:
    """Leave out what is not a violation."""
    return [each for each in found if each.rule not in _NOTES]


def finding_of(problem: Problem, prefix: str = "") -> Finding:
    """Report an invalid input as a finding of its line."""
    return Finding(
        rule=problem.rule,
        path=prefix + problem.path,
        expected=problem.accepted,
        actual=problem.value,
        message=problem.message,
    )


def missing_answer(path: str, expected: str) -> Finding:
    """Report an answer that is null although it is due."""
    return Finding(
        rule="waterfall.applies",
        path=path,
        expected=expected,
        actual=None,
        message=f"{path[1:]} is null; {expected} is due for this input",
    )
