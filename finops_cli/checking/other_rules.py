"""Judge a line by the rules that made it (kb: `check.rules`, `check.made_with`).

A line names its rules in `provenance.kb`. Rules that nobody kept cannot judge it: then one finding
says so, in place of every value that the rules of the check give differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from finops_cli.checking.verdicts import MADE_WITH, without_notes
from finops_cli.domain.finding import Finding
from finops_cli.errors import KnowledgeError
from finops_cli.kb.load import load_kb, named_digits
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.kb.store import find_rules

FindRules = Callable[[str], KnowledgeBase | None]
"""Return kept rules by the first digits of their digest, or None."""
_SHOWN_RULES = 5


def _find_none(_: str) -> None:
    """Find no rules: none were kept."""


def find_kept_rules(store: Path) -> FindRules:
    """Look for rules in a store. Those that this release cannot read are as good as not kept."""

    @cache
    def find(digits: str) -> KnowledgeBase | None:
        kept = find_rules(digits, store)
        try:
            return None if kept is None else load_kb(kept.folder)
        except KnowledgeError:
            return None

    return find


@dataclass(frozen=True, slots=True)
class RuleSets:
    """The rules of the check, and those that were kept."""

    kb: KnowledgeBase
    find: FindRules = _find_none


def judge_by_own_rules(
    given: dict[str, Any], rules: RuleSets, check: Callable[[KnowledgeBase], list[Finding]]
) -> list[Finding]:
    """Run `check` with the rules that made a line, where they were kept.

    Elsewhere it runs with the rules of the check. A line that is right by them has a note that
    names its rules; one that is not has a single finding.
    """
    own, provenance = rules.kb, given.get("provenance")
    name = provenance.get("kb") if isinstance(provenance, dict) else None
    if not isinstance(name, str):
        return check(own)
    digits = named_digits(name)
    if digits is None or name == own.version or not own.sha256:
        return check(own)
    if own.sha256.startswith(digits):
        what = f"the release is another one; the rules are those of {own.version}"
        return [_note(name, what), *check(own)]
    kept = rules.find(digits)
    if kept is not None:
        return [_note(name, "they were kept, and judge the line"), *check(kept)]
    found = check(own)
    violations = without_notes(found)
    if violations:
        return [_finding(name, own.version, violations)]
    return [_note(name, f"the line is right by these too ({own.version})"), *found]


def _note(name: str, what: str) -> Finding:
    return Finding(
        rule=MADE_WITH,
        path="/provenance/kb",
        expected=None,
        actual=name,
        message=f"made with rules {name}; {what}",
    )


def _finding(name: str, own: str, violations: list[Finding]) -> Finding:
    """Report a line that only its own rules could judge."""
    counts = Counter(each.rule for each in violations).most_common(_SHOWN_RULES)
    by = ", ".join(rule for rule, _ in counts)
    values = f"{len(violations):,} value{'' if len(violations) == 1 else 's'}"
    return Finding(
        rule="check.rules",
        path="/provenance/kb",
        expected=own,
        actual=name,
        message=f"made with rules {name}, which are not here; these ({own}) give {values} of the"
        f" line differently ({by}). Name its rules: finops --kb DIR check, or --kb-store DIR",
    )
