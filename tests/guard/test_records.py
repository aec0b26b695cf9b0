"""Every text of a record that a person may have written is masked, and a run can tell beforehand
that it needs the guard.
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


def _fail(**changes: Any) -> FailRecord:
    taken = parse_fail(a_fail(**changes))
    assert taken.value is not None, taken.problems
    return taken.value


def _case(kb: KnowledgeBase, **changes: Any) -> ResolverInput:
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


def test_every_text_of_a_fail_is_masked(guard: Guard) -> None:
    """Notes, the reason of a dispute, what the importer noted of the origin, keys included, and a
    name that is an address.
    """
    given = _fail(
        fail_id="jane@example.com",
        notes="SSN 123-45-6789",
        dk_reason="account 12345678 unknown",
        origin={
            "file": "jane@example.com.csv",
            "rows": [{"ssn": 123456789, "card": "4111111111111111"}],
            "ring 415-555-2671": 4,
        },
    )
    fail, kinds = guarded_fail(guard, given)
    assert fail.fail_id == "[EMAIL]"
    assert (fail.notes, fail.dk_reason) == ("SSN [SSN]", "account [ACCOUNT] unknown")
    assert fail.origin == {
        "file": "[EMAIL]",
        "rows": [{"ssn": "[SSN]", "card": "[CARD]"}],
        "ring [PHONE]": 4,
    }
    assert kinds == ("EMAIL", "CARD", "SSN", "PHONE", "ACCOUNT")
    assert guarded_fail(guard, fail) == (fail, ())


@pytest.mark.parametrize(("given", "masked"), personal_data_attacks.KEYS)
def test_a_key_is_read_as_its_words(given: Any, masked: Any, guard: Guard) -> None:
    """accountNumber, date_of_birth; the key around it names a value too, and the desk's own keys
    name nothing personal.
    """
    assert Mask(guard).anything(given) == masked


def test_the_desks_own_fields_are_never_touched(guard: Guard) -> None:
    """A CUSIP that could be an SSN, a quantity that could be a card, an event: typed fields hold no
    free text.
    """
    given = _fail(
        qty=411_111_111_111,
        corporate_action={"new_cusip": "037833100", "memo": "SSN 123-45-6789"},
        notes="123-45-6789",
    )
    fail, kinds = guarded_fail(guard, given)
    assert kinds == ("SSN",)
    assert msgspec.structs.replace(fail, notes=given.notes) == given
    assert not hasattr(fail.corporate_action, "memo")


def test_records_without_personal_data_come_back_as_they_are(guard: Guard) -> None:
    """The shipped examples, to the object."""
    fails = [parse_fail(row).value for row in rows((EXAMPLES / "monday.jsonl").read_bytes())]
    assert any(fail and fail.dk_reason for fail in fails)
    for fail in fails:
        if fail is not None:
            assert guarded_fail(guard, fail) == (fail, ())
            assert guarded_fail(guard, fail)[0] is fail


def test_the_reason_of_a_case_is_masked(guard: Guard, kb: KnowledgeBase) -> None:
    """A resolver input is written by whoever made its triage."""
    given = _case(
        kb,
        triage={"reason": "Client 123-45-6789 short of 5000 shares, T+13."},
        fail_id="4111-1111-1111-1111",
    )
    case, kinds = guarded_case(guard, given)
    assert case.triage.reason == "Client [SSN] short of 5000 shares, T+13."
    assert case.fail_id == "[CARD]"
    assert kinds == ("CARD", "SSN")
    assert guarded_case(guard, case) == (case, ())


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, False),
        ({"notes": "x"}, True),
        ({"dk_reason": "unknown trade"}, True),
        ({"notes": "", "dk_reason": ""}, False),
        ({"origin": {"source": "csv"}, "fail_id": "a@b.com"}, False),
    ],
)  # fmt: skip
def test_a_fail_with_text_for_a_prompt_needs_the_guard(
    changes: dict[str, Any], holds: bool
) -> None:
    """`origin` and `fail_id` reach no prompt."""
    assert has_free_text(_fail(**changes)) is holds


def test_a_case_with_a_reason_needs_the_guard(kb: KnowledgeBase) -> None:
    assert has_free_text(_case(kb))
    assert not has_free_text(_case(kb, triage={"reason": ""}))


@pytest.mark.parametrize(
    ("masked", "kinds", "could"),
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
def test_a_masked_name_is_held_against_the_name_that_it_stands_for(
    masked: str, kinds: list[str], could: bool
) -> None:
    """What was kept stands in its order, and each placeholder for a character at least; many of
    them take no time.
    """
    assert could_be_masked("desk/jane@bank.com", masked, kinds) is could
