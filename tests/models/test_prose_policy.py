"""The sentences of models under --prose strict and keep."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest

from finops_cli.domain.enums import OnViolation
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.rules.triage import triage
from tests.models.test_verified_backend import KB, make_fail, reply_changed, set_wrong_score
from tests.support.text_models import ScriptedModel

POLICIES = get_args(OnViolation)
OWN_REASON = "A CRITICAL fail, 7 days old."


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("reason", "prose", "rules", "status"),
    [
        (OWN_REASON, "strict", [], "ok"),
        (OWN_REASON, "keep", [], "ok"),
        ("Old and large.", "strict", ["text.unverifiable"], "repaired"),
        ("Old and large.", "keep", ["text.unverifiable"], "ok"),
        ("This is LOW.", "keep", ["text.contradicted"], "ok"),
        ("string", "keep", ["text.no_sentence"], "ok"),
        ("Aged 77 days.", "keep", ["triage.reason_figures", "text.contradicted"], "ok"),
    ],
)
def test_sentence_follows_the_prose_policy(
    policy: Any, reason: str, prose: Any, rules: list[str], status: str
) -> None:
    """A sentence that cannot be judged is replaced or kept at the first attempt, whatever
    --on-violation says. With keep, a wrong one is kept too. Both list the finding.
    """
    model = ScriptedModel(reply_changed(lambda answer: {**answer, "reason": reason}))
    answer = VerifiedBackend(model, KB, policy, prose).triage(make_fail())
    assert [finding.rule for finding in answer.findings] == rules
    assert (answer.status, answer.attempts) == (status, 1)
    assert answer.value is not None
    own = triage(make_fail(), KB).reason
    assert answer.value.reason == (own if status == "repaired" else reason)


@pytest.mark.parametrize(
    ("policy", "status"),
    [("repair", "repaired"), ("retry", "repaired"), ("fallback", "fallback"), ("reject", "failed")],
)
def test_wrong_sentence_follows_the_violation_policy(policy: Any, status: str) -> None:
    """With --prose strict, a sentence that contradicts the answer is a violation like a wrong
    number.
    """
    model = ScriptedModel(reply_changed(lambda answer: {**answer, "reason": "This is LOW."}))
    answer = VerifiedBackend(model, KB, policy).triage(make_fail())
    assert [finding.rule for finding in answer.findings] == ["text.contradicted"]
    assert answer.status == status
    assert answer.value is None or answer.value == triage(make_fail(), KB)


def test_wrong_number_is_repaired_and_the_wrong_sentence_kept() -> None:
    """With --prose keep, a repair replaces the number and leaves the sentence."""
    model = ScriptedModel(
        reply_changed(lambda answer: {**set_wrong_score(answer), "reason": "This is LOW."})
    )
    answer = VerifiedBackend(model, KB, "repair", "keep").triage(make_fail())
    assert answer.status == "repaired"
    assert answer.value is not None
    assert answer.value.reason == "This is LOW."
    assert answer.value.priority_score == Decimal("83.4")
