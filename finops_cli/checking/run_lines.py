"""Check that the parts of a run's output line agree: status, answers, findings and error."""

from __future__ import annotations

from typing import Any, get_args

from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.guard.records import could_be_masked
from finops_cli.verify.schemas import show_value
from finops_cli.verify.sentences.check import SENTENCE_RULES

_ANSWERED = ("ok", "repaired", "fallback")


def is_run_line(given: Any) -> bool:
    return isinstance(given, dict) and "status" in given and "provenance" in given


def has_fail_id(given: dict[str, Any], name: str) -> bool:
    """Return true if the line has the `fail_id` `name`, or `name` as the guard masks it."""
    called, provenance = given.get("fail_id"), given.get("provenance")
    if called == name:
        return True
    masked = provenance.get("masked") if isinstance(provenance, dict) else None
    if not isinstance(called, str) or not isinstance(masked, list):
        return False
    return could_be_masked(name, called, [kind for kind in masked if isinstance(kind, str)])


def answers_of(given: dict[str, Any]) -> list[str]:
    """List the answers that the line's command has. `verification` names each of them."""
    verification = given.get("verification")
    named = verification if isinstance(verification, dict) else given
    return [field for field in ANSWER_FIELDS.values() if field in named or field in given]


def check_run_line(given: dict[str, Any]) -> list[Finding]:
    """List the contradictions within a line. Its answers are checked elsewhere."""
    status = given["status"]
    if not isinstance(status, str) or status not in get_args(Status):
        accepted = ", ".join(get_args(Status))
        return [
            Finding(
                rule="schema.enum",
                path="/status",
                expected=accepted,
                actual=show_value(status),
                message=f"status is {show_value(status)}; accepted: {accepted}",
            )
        ]
    if status in _ANSWERED:
        return _faults_of_answered(given, status)
    if status == "rejected" and not isinstance(given.get("error"), dict):
        return [_fault("/error", "why and where", "the line is rejected, but does not say why")]
    if status == "failed" and not isinstance(given.get("raw"), dict):
        return [
            _fault(
                "/raw", "what was received", "the line failed, but does not keep what was received"
            )
        ]
    return []


def _faults_of_answered(given: dict[str, Any], status: str) -> list[Finding]:
    stages = answers_of(given)
    first = stages[0] if stages else "triage"
    skipped = first == "resolution" and isinstance(given.get("resolution_skipped"), str)
    if given.get(first) is None and not skipped:
        return [_fault(f"/{first}", "an answer", f"status is {status}, but {first} is missing")]
    if (
        "resolution" in stages
        and given.get("resolution") is None
        and not isinstance(given.get("resolution_skipped"), str)
    ):
        return [
            _fault(
                "/resolution_skipped", "a reason", "the line has no resolution and does not say why"
            )
        ]
    verification = given.get("verification")
    if status == "ok" and isinstance(verification, dict) and not _are_kept(verification):
        return [_fault("/verification", "no findings", "status is ok, but the line lists findings")]
    return []


def _are_kept(verification: dict[str, Any]) -> bool:
    """Test if all findings are about sentences, which --prose keep leaves as they are."""
    for findings in verification.values():
        if findings and not isinstance(findings, list):
            return False
        for each in findings or ():
            if not isinstance(each, dict) or each.get("rule") not in SENTENCE_RULES:
                return False
    return True


def _fault(path: str, expected: str, message: str) -> Finding:
    return Finding(rule="schema.shape", path=path, expected=expected, actual=None, message=message)
