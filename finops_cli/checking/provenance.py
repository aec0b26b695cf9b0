"""Check the provenance of a line: its rules, its backend and the models that it names.

Source: kb `check.provenance`. Provenance is a statement; these checks find the statements that no
run makes. `finops audit` compares it with the note of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from finops_cli.checking.run_lines import answers_of
from finops_cli.domain.fault import INTERNAL
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.guard.records import MASKED_KINDS
from finops_cli.kb.load import named_digits
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backends import BACKENDS
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import AttemptError
from finops_cli.pipeline.output import Provenance
from finops_cli.verify.schemas import show_value
from finops_cli.verify.sentences.check import SENTENCE_RULES

_RULE = "check.provenance"
_ENGINE = Engine.origin.name
_SHA256 = re.compile(r"(sha256:)?[0-9a-f]{64}")
_ANSWERED = ("ok", "repaired", "fallback")


def check_provenance(given: dict[str, Any], kb: KnowledgeBase) -> list[Finding]:
    """List what the provenance of a line, of the right shape, cannot truly say."""
    made = msgspec.convert(given["provenance"], Provenance)
    return [
        *_check_rules(made),
        *_check_backend(made, given),
        *_check_attempts(made, given, kb),
        *_check_clock(made, given),
        *_check_masked(made),
    ]


def _check_rules(made: Provenance) -> Iterator[Finding]:
    if named_digits(made.kb) is None:
        yield _finding("kb", "a release and 12 digits of a digest, as 0.1.0+29caba3d54a6", made.kb)


def _check_backend(made: Provenance, given: dict[str, Any]) -> Iterator[Finding]:
    if made.backend not in BACKENDS:
        yield _finding("backend", f"one of {', '.join(BACKENDS)}", made.backend)
        return
    if any(stage not in ANSWER_FIELDS for stage in made.models):
        yield _finding("models", f"the stages {', '.join(ANSWER_FIELDS)}", list(made.models))
    if made.backend == _ENGINE:
        yield from _check_engine(made, given)
        return
    for stage, answer in ANSWER_FIELDS.items():
        if answer in answers_of(given) and not made.models.get(stage):
            yield _finding(f"models/{stage}", f"the model of {made.backend}", None)
    if not _SHA256.fullmatch(made.prompt_sha256 or ""):
        yield _finding("prompt_sha256", "the digest of the prompts", made.prompt_sha256)
    digests = {} if isinstance(made.digests, msgspec.UnsetType) else made.digests
    for stage, digest in digests.items():
        if digest is None and not made.models.get(stage):
            continue
        if not made.models.get(stage):
            yield _finding(f"digests/{stage}", "none: the stage has no model", digest)
        elif not _SHA256.fullmatch(digest or ""):
            yield _finding(f"digests/{stage}", "a SHA-256", digest)


def _check_engine(made: Provenance, given: dict[str, Any]) -> Iterator[Finding]:
    """Yield what only a language model has."""
    named = {stage: name for stage, name in made.models.items() if name is not None}
    if named:
        yield _finding("models", "null for each stage: the engine has no model", named)
    if made.prompt_sha256 is not None:
        yield _finding("prompt_sha256", "null: the engine has no prompt", made.prompt_sha256)
    for name in ("digests", "format_warnings", "attempt_errors"):
        if not isinstance(getattr(made, name), msgspec.UnsetType):
            yield _finding(name, "absent: the engine has no model", given["provenance"][name])
    if given["status"] in ("repaired", "fallback"):
        message = f"status is {given['status']}, but the engine answered, whose answers stand"
        yield Finding(
            rule="check.status",
            path="/status",
            expected="ok, rejected or failed",
            actual=given["status"],
            message=message,
        )


def _check_attempts(
    made: Provenance, given: dict[str, Any], kb: KnowledgeBase
) -> Iterator[Finding]:
    most = 1 if made.backend == _ENGINE else max(kb.models.attempts.values())
    if given["status"] == "rejected":
        most = 0  # nobody was asked
    if not 0 <= made.attempts <= most:
        yield _finding("attempts", f"from 0 to {most}", made.attempts)
    if made.latency_ms is not None and made.latency_ms < 0:
        yield _finding("latency_ms", "milliseconds, or null", str(made.latency_ms))
    kept = given.get("raw")
    received = max(map(len, kept.values()), default=0) if isinstance(kept, dict) else 0
    keeps_all = received and given["status"] in _ANSWERED
    if received > made.attempts or (keeps_all and received != made.attempts):
        yield _finding("attempts", f"the {received} whose replies are kept", made.attempts)
    if made.backend != _ENGINE and given["status"] in (*_ANSWERED, "failed"):
        yield from _check_errors(made, given)


def _check_errors(made: Provenance, given: dict[str, Any]) -> Iterator[Finding]:
    """Compare the attempts that were not accepted with the findings that the line keeps."""
    errors: tuple[AttemptError, ...] = (
        () if isinstance(made.attempt_errors, msgspec.UnsetType) else made.attempt_errors
    )
    verification = given["verification"]
    yield from _check_each(errors, made.attempts)
    for stage, answer in ANSWER_FIELDS.items():
        findings = verification.get(answer) or []
        rules = {each["rule"] for each in findings}
        if INTERNAL in rules:
            continue
        own = [error for error in errors if error.stage == stage and error.rules]
        told = [set(error.rules) for error in own]
        if own and not rules and own[-1].attempt >= made.attempts:
            yield _finding("attempt_errors", f"no last attempt at {answer} that broke rules", told)
        if not rules <= SENTENCE_RULES and rules not in told:
            yield _finding(
                "attempt_errors",
                f"an attempt at {answer} that broke {', '.join(sorted(rules))}",
                [sorted(each) for each in told],
            )
    if given["status"] == "ok":
        refused = [error for error in errors if error.rules and error.attempt >= made.attempts]
        for error in refused:
            expected = "no rules: status is ok, and this attempt was the last one"
            yield _finding("attempt_errors", expected, list(error.rules))


def _check_each(errors: tuple[AttemptError, ...], attempts: int) -> Iterator[Finding]:
    """Check the stage and the number of each attempt, and that none before the last is missing."""
    numbers: dict[str, list[int]] = {}
    for place, error in enumerate(errors):
        path, before = f"attempt_errors/{place}", numbers.setdefault(error.stage, [0])
        if error.stage not in ANSWER_FIELDS:
            yield _finding(f"{path}/stage", f"one of {', '.join(ANSWER_FIELDS)}", error.stage)
        if not before[-1] < error.attempt <= max(1, attempts):
            yield _finding(f"{path}/attempt", f"a number up to {max(1, attempts)}", error.attempt)
        if error.rules:
            before.append(error.attempt)
    earlier = list(range(attempts))
    if attempts > 1 and not any(given[:attempts] == earlier for given in numbers.values()):
        expected = f"attempts 1 to {attempts - 1} of a stage: each was asked again"
        yield _finding("attempt_errors", expected, [each[1:] for each in numbers.values()])


def _check_clock(made: Provenance, given: dict[str, Any]) -> Iterator[Finding]:
    """Compare the clock of the provenance with the clock of the line."""
    clock, stated = given.get("clock"), made.clock
    if isinstance(stated, msgspec.UnsetType):
        if isinstance(clock, dict):
            yield _finding("clock", "the mode, the moment and the calendar of the clock", None)
        return
    if not isinstance(clock, dict):
        yield _finding("clock", "absent: the line has no clock", "a clock")
        return
    told = msgspec.to_builtins(stated)
    for name in ("as_of", "as_of_source", "calendar"):
        if clock.get(name) != told[name]:
            yield _finding(f"clock/{name}", show_value(clock.get(name)), told[name])


def _check_masked(made: Provenance) -> Iterator[Finding]:
    """Compare the kinds of personal data with those that the guard knows, in its order."""
    masked = () if isinstance(made.masked, msgspec.UnsetType) else made.masked
    if masked != tuple(kind for kind in MASKED_KINDS if kind in masked):
        yield _finding("masked", f"of {', '.join(MASKED_KINDS)} each once, in this order", masked)


def _finding(name: str, expected: str, actual: Any) -> Finding:
    shown = show_value(actual)
    message = f"provenance.{name.replace('/', '.')} is {shown}; accepted: {expected}"
    return Finding(
        rule=_RULE, path=f"/provenance/{name}", expected=expected, actual=shown, message=message
    )
