"""Masking of records: every free text of a record is masked, and a run knows in advance whether it
needs the guard.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput
from finops_cli.guard.detector import Guard
from finops_cli.guard.records import (
    Mask,
    could_be_masked,
    guarded_case,
    guarded_fail,
    has_free_text,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_case, parse_fail
from tests.support import personal_data_attacks
from tests.support.program import EXAMPLES
from tests.support.records import a_fail, rows

TRIAGE = {
    "category": "CNS_FAIL",
    "cns_direction": "FTD",
    "lifecycle_state": "OPEN",
    "priority_score": 50,
    "priority_tier": "MEDIUM",
    "score_components": {"age": 18, "value": 17, "regulatory": 0, "counterparty": 6},
    "reason": "CNS fail of 5000 shares, aged 7 days.",
    "action": "LOCATE_AND_DELIVER",
    "escalation_level": "L1",
    "deadline": "T+13",
    "flags": [],
}


def make_fail(**changes: Any) -> FailRecord:
    taken = parse_fail(a_fail(**changes))
    assert taken.value is not None, taken.problems
    return taken.value


def make_case(kb: KnowledgeBase, **changes: Any) -> ResolverInput:
    inventory = {
        "box_qty": 0,
        "stock_loan_available": 0,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }
    triage = {**TRIAGE, **changes.pop("triage", {})}
    case = {
        "fail_id": "F-1",
        "triage": triage,
        "cusip": "594918104",
        "ftd_qty": 5000,
        "inventory": inventory,
        **changes,
    }
    taken = parse_case(case, kb)
    assert taken.value is not None, taken.problems
    return taken.value


@pytest.mark.slow
def test_guard_masks_every_text_of_a_fail(guard: Guard) -> None:
    """The guard masks the notes, the dispute reason, the origin with its keys, and a `fail_id` that
    is an address.
    """
    original = make_fail(
        fail_id="jane@example.com",
        notes="SSN 123-45-6789",
        dk_reason="account 12345678 unknown",
        origin={
            "file": "jane@example.com.csv",
            "rows": [{"ssn": 123456789, "card": "4111111111111111"}],
            "ring 415-555-2671": 4,
        },
    )
    fail, kinds = guarded_fail(guard, original)
    assert fail.fail_id == "[EMAIL]"
    assert (fail.notes, fail.dk_reason) == ("SSN [SSN]", "account [ACCOUNT] unknown")
    assert fail.origin == {
        "file": "[EMAIL]",
        "rows": [{"ssn": "[SSN]", "card": "[CARD]"}],
        "ring [PHONE]": 4,
    }
    assert kinds == ("EMAIL", "CARD", "SSN", "PHONE", "ACCOUNT")
    assert guarded_fail(guard, fail) == (fail, ())


@pytest.mark.parametrize(("original", "masked"), personal_data_attacks.KEYS)
def test_guard_reads_a_key_as_its_words(original: Any, masked: Any, guard: Guard) -> None:
    """A key such as accountNumber or date_of_birth labels its value, also from an outer level. The
    desk's own keys label nothing personal.
    """
    assert Mask(guard).anything(original) == masked


def test_guard_leaves_typed_fields_unchanged(guard: Guard) -> None:
    """Typed fields such as the CUSIP, the quantity and the corporate action are not free text, so
    the guard leaves them unchanged.
    """
    original = make_fail(
        qty=411_111_111_111,
        corporate_action={"new_cusip": "037833100", "memo": "SSN 123-45-6789"},
        notes="123-45-6789",
    )
    fail, kinds = guarded_fail(guard, original)
    assert kinds == ("SSN",)
    assert msgspec.structs.replace(fail, notes=original.notes) == original
    assert not hasattr(fail.corporate_action, "memo")


def test_guard_returns_a_clean_record_itself(guard: Guard) -> None:
    """A record without personal data is returned as the same object."""
    fails = [parse_fail(row).value for row in rows((EXAMPLES / "monday.jsonl").read_bytes())]
    assert any(fail and fail.dk_reason for fail in fails)
    for fail in fails:
        if fail is not None:
            assert guarded_fail(guard, fail) == (fail, ())
            assert guarded_fail(guard, fail)[0] is fail


def test_guard_masks_reason_and_fail_id_of_a_case(guard: Guard, kb: KnowledgeBase) -> None:
    """The guard masks the triage reason and the `fail_id` of a resolver case."""
    original = make_case(
        kb,
        triage={"reason": "Client 123-45-6789 short of 5000 shares, T+13."},
        fail_id="4111-1111-1111-1111",
    )
    case, kinds = guarded_case(guard, original)
    assert case.triage.reason == "Client [SSN] short of 5000 shares, T+13."
    assert case.fail_id == "[CARD]"
    assert kinds == ("CARD", "SSN")
    assert guarded_case(guard, case) == (case, ())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"notes": "x"}, True),
        ({"dk_reason": "unknown trade"}, True),
        ({"notes": "", "dk_reason": ""}, False),
        ({"origin": {"source": "csv"}, "fail_id": "a@b.com"}, False),
    ],
)  # fmt: skip
def test_fail_with_notes_or_dk_reason_needs_the_guard(
    changes: dict[str, Any], expected: bool
) -> None:
    """A fail needs the guard when it has notes or a dispute reason. `origin` and `fail_id` are not
    part of a prompt.
    """
    assert has_free_text(make_fail(**changes)) is expected


def test_case_with_a_reason_needs_the_guard(kb: KnowledgeBase) -> None:
    """A resolver case needs the guard exactly when its triage has a reason."""
    assert has_free_text(make_case(kb))
    assert not has_free_text(make_case(kb, triage={"reason": ""}))


@pytest.mark.parametrize(
    ("masked", "kinds", "expected"),
    [
        ("desk/[EMAIL]", ["EMAIL"], True),
        ("[EMAIL]", ["EMAIL"], True),
        ("desk/[EMAIL]", [], False),
        ("desk/[SSN]", ["EMAIL"], False),
        ("desk/jane@bank.com", ["EMAIL"], False),
        ("desk/jane@bank.com[EMAIL]", ["EMAIL"], False),
        ("box/[EMAIL]", ["EMAIL"], False),
        ("[EMAIL]@[EMAIL]", ["EMAIL"], True),
        ("[EMAIL]@[EMAIL]m", ["EMAIL"], True),
        ("[EMAIL]" * 60, ["EMAIL"], False),
    ],
)  # fmt: skip
def test_masked_fail_id_matches_only_possible_originals(
    masked: str, kinds: list[str], expected: bool
) -> None:
    """A masked name matches an original that has the kept text in order and at least one character
    for each placeholder. Many placeholders take little time.
    """
    assert could_be_masked("desk/jane@bank.com", masked, kinds) is expected
