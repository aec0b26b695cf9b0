"""Check that the parts of a run's output line agree: status, answers, findings and error."""

from __future__ import annotations

from typing import Any, get_args

from finops_cli.domain.enums import Status
from finops_cli.domain.fault import INTERNAL
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.guard.records import could_be_masked
from finops_cli.verify.schemas import show_value
from finops_cli.verify.sentences.check import SENTENCE_RULES

_ANSWERED = ("ok", "repaired", "fallback")
_ALWAYS = ("format", "warnings")
_PARTS_OF = {
    ("triage", "resolution"): ("fail", "headline"),
    ("triage",): ("fail",),
    ("resolution",): (),
}
"""The parts of a line by the answers of its command."""
_PARTS_OF_BOOK = ("allotment", "book")
_LATER_PARTS = (*_ALWAYS, "fail", "headline", "clock", *_PARTS_OF_BOOK)
_NOT_OF_REJECTED = (*ANSWER_FIELDS.values(), "headline", "fail", "clock")
_UNREADABLE = ("schema.", "reply.")
"""The rules of replies that hold no answer, so that nothing of it can be kept."""
_OF_OTHER_STEPS = ("waterfall.step_missing", "waterfall.step_extra")
"""Rules of a plan with other steps, whose numbers are compared with its own."""


def is_run_line(given: Any) -> bool:
    return isinstance(given, dict) and "status" in given and "provenance" in given


def claims_run_line(given: dict[str, Any]) -> bool:
    """Return true for an output line of a run, also for one that lost its status or provenance."""
    return is_run_line(given) or "verification" in given


def is_sentiment_line(given: dict[str, Any]) -> bool:
    """Return true for an output line of `finops sentiment`."""
    return is_run_line(given) and "sentiment" in given


def has_masks(given: dict[str, Any]) -> bool:
    """Return true for a line in which the guard may have masked the name of its record."""
    provenance = given.get("provenance")
    return isinstance(provenance, dict) and bool(provenance.get("masked"))


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
    status = given.get("status")
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
    return _faults_of_rejected(given) if status == "rejected" else _faults_of_failed(given)


def _faults_of_rejected(given: dict[str, Any]) -> list[Finding]:
    if not isinstance(given.get("error"), dict):
        return [_fault("/error", "why and where", "the line is rejected, but does not say why")]
    held = [name for name in _NOT_OF_REJECTED if given.get(name) is not None]
    if held:
        what = f"status is rejected, but the line has {', '.join(held)}"
        return [_status("/status", "another status, or null in each of them", what)]
    for name in ("verification", "warnings"):
        listed = _list_findings(given) if name == "verification" else given.get(name)
        if listed:
            return [_status(f"/{name}", "none", f"the line is rejected, but lists {name}")]
    return []


def _faults_of_failed(given: dict[str, Any]) -> list[Finding]:
    rules = [each.get("rule") for each in _list_findings(given)]
    if INTERNAL in rules:
        return []  # a fault of the program received nothing
    if not isinstance(given.get("raw"), dict):
        return [
            _fault(
                "/raw", "what was received", "the line failed, but does not keep what was received"
            )
        ]
    if not rules:
        return [_status("/verification", "the reason", "the line failed, but lists no finding")]
    stages = answers_of(given)
    if stages and all(given.get(stage) is not None for stage in stages):
        return [_status("/status", "ok, repaired or fallback", "the line failed, but has answers")]
    if given.get("headline") is not None:
        return [_fault("/headline", "null", "the line failed, but has a headline")]
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
    if given.get("resolution") is not None and "resolution_skipped" in given:
        return [
            _fault("/resolution_skipped", "absent", "the line has a resolution, and says why not")
        ]
    verification = given.get("verification")
    if status == "ok" and isinstance(verification, dict) and not _are_kept(verification):
        return [_fault("/verification", "no findings", "status is ok, but the line lists findings")]
    if "error" in given:
        return [_fault("/error", "absent", f"status is {status}, but the line has an error")]
    return _refuse_no_clock(given)


def _refuse_no_clock(given: dict[str, Any]) -> list[Finding]:
    """Report a line that has neither a clock nor the reason why, or both."""
    has_reason = isinstance(given.get("clock_skipped"), str)
    if "clock" not in given or (given["clock"] is None) == has_reason:
        return []
    wanted = "absent" if has_reason else "a reason"
    what = "a clock, and says why not" if has_reason else "no clock, and does not say why"
    return [_fault("/clock_skipped", wanted, f"the line has {what}")]


def is_fault(given: dict[str, Any]) -> bool:
    """Return true for a line whose record caused a fault in finops."""
    return any(each.get("rule") == INTERNAL for each in _list_findings(given))


def check_command(given: dict[str, Any]) -> list[Finding]:
    """Report parts that the command of a line does not write, or leaves out.

    A line with none of the parts that came later (contracts, section 5) need not have them.
    """
    stages = tuple(answers_of(given))
    is_book = "allotment" in given or "book" in given
    parts = (*_PARTS_OF[stages], *(_PARTS_OF_BOOK if is_book else ())) if stages else ()
    has = [name for name in _LATER_PARTS if name in given]
    if not stages or not has:
        return []
    verified = [stage for stage in ANSWER_FIELDS.values() if stage in given["verification"]]
    missing = [name for name in (*_ALWAYS, *parts, *stages) if name not in given]
    extra = [name for name in has if name not in (*_ALWAYS, *parts, "clock")]
    found = [_fault(f"/{name}", "a part of the line", f"{name} is missing") for name in missing]
    found += [_fault(f"/{name}", "absent", f"the command has no {name}") for name in extra]
    if verified != list(stages):
        what = f"verification is of {', '.join(verified) or 'nothing'}, not of {', '.join(stages)}"
        found.append(_fault("/verification", ", ".join(stages), what))
    return found


def check_status(given: dict[str, Any]) -> list[Finding]:
    """Compare the status of a line, of the right shape, with the findings that it lists.

    Source: kb `check.status`. A repaired answer is the rules' own: a finding has its value as
    `expected`, and what the model said as `actual`.
    """
    status, findings = given["status"], _list_findings(given)
    if status in ("repaired", "fallback") and not findings:
        return [_status("/status", "ok", f"status is {status}, but the line lists no finding")]
    if status == "repaired":
        wrong = [each["rule"] for each in findings if each["rule"].startswith(_UNREADABLE)]
        if wrong:
            what = f"status is repaired, but the model's answer broke {wrong[0]}"
            return [_status("/status", "fallback or failed", what)]
    found = []
    for stage in answers_of(given):
        listed = given["verification"].get(stage) or ()
        has_other_steps = any(each["rule"] in _OF_OTHER_STEPS for each in listed)
        answer = None if has_other_steps else given.get(stage)
        for place, each in enumerate(listed):
            found += _check_finding(f"/verification/{stage}/{place}", each, answer)
    return found


def _check_finding(path: str, finding: dict[str, Any], answer: Any) -> list[Finding]:
    """Compare a finding with the answer that stands; None: it has no value for each finding."""
    expected, actual, rule = finding["expected"], finding["actual"], finding["rule"]
    if rule in SENTENCE_RULES or rule.startswith(_UNREADABLE) or rule == INTERNAL:
        return []
    if _is_same(expected, actual):
        return [_status(path, "two values", f"the finding of {rule} has the same value twice")]
    if f"; {rule} gives " in finding["message"] and not finding["message"].startswith(
        f"{finding['path'][1:]} is {_write(actual)}; {rule} gives {_write(expected)}"
    ):
        what = f"the message of the finding of {rule} has other values than the finding"
        return [_status(path, finding["message"], what)]
    if not isinstance(answer, dict):
        return []
    stands = _value_at(answer, finding["path"])
    if _is_same(stands, expected):
        return []
    what = f"by the finding of {rule}, {finding['path']} is {show_value(expected)}"
    return [_status(path, show_value(stands), f"{what}; the answer has {show_value(stands)}")]


def _write(value: Any) -> str:
    """Write a value as the message of a finding does (`verify.comparison.mismatch`)."""
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else show_value(value)


def _value_at(answer: dict[str, Any], pointer: str) -> Any:
    value: Any = answer
    for part in pointer.split("/")[1:]:
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _is_same(one: Any, other: Any) -> bool:
    """Compare two values of JSON. `true` is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _list_findings(given: dict[str, Any]) -> list[dict[str, Any]]:
    verification = given.get("verification")
    lists = verification.values() if isinstance(verification, dict) else ()
    return [each for found in lists if isinstance(found, list) for each in found
            if isinstance(each, dict)]  # fmt: skip


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


def _status(path: str, expected: str, message: str) -> Finding:
    return Finding(rule="check.status", path=path, expected=expected, actual=None, message=message)
