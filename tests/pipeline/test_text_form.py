"""The text form of a record: rendering and parsing are inverse for every record."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import limits, text_form
from finops_cli.domain.cusip import ALPHABET, check_digit, is_valid
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import parse_percent, parse_usd, render_usd
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.rules.contradictions import side_agrees
from finops_cli.verify.codecs import FAIL
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

CARD = (
    "Triage this fail record: CUSIP: 594918104 | Side: Sell | Qty: 5000 | Counterparty: DTC-0005 |"
    " Age: 7 days | Market Value: $2.1M | CNS Position: -5000 | CNS Direction: FTD | Reg SHO"
    " Threshold: Yes | Inventory Coverage: 10% | CP 15-day Fail Rate: 4%"
)


def make_fail(**changes: Any) -> FailRecord:
    taken = parse_fail_line(json.dumps({**a_fail(**changes), "fail_id": None}).encode())
    assert taken.value is not None, taken.problems
    return taken.value


def test_text_form_of_card_1_is_rendered_and_parsed() -> None:
    """The text of card 1 is parsed to its record, and the record is rendered to the same text."""
    assert text_form.render(make_fail()) == CARD
    assert parse_fail_line(json.dumps({"text": CARD}).encode()).value == make_fail()


def test_text_form_with_line_breaks_is_parsed() -> None:
    """Card 1 prints the text over several lines. The line breaks do not change the record."""
    broken = CARD.replace("record: ", "record:\n").replace(" | ", " | \n")
    assert parse_fail_line(json.dumps({"text": broken}).encode()).value == make_fail()


_EXACT = st.decimals(0, 10**9, places=2, allow_nan=False)
_TEXT = st.text(max_size=30).filter(bool)
_CUSIP = st.text(ALPHABET, min_size=8, max_size=8).map(lambda issue: issue + check_digit(issue))
RECORDS = st.fixed_dictionaries(
    {
        "cusip": _CUSIP,
        "side": st.sampled_from(["Buy", "Sell"]),
        "qty": st.integers(1, limits.SHARES),
        "counterparty": st.integers(0, 9999).map(lambda number: f"DTC-{number:04d}"),
        "age_days": st.integers(0, limits.AGE_DAYS),
        "market_value": (
            st.decimals(0, limits.USD, allow_nan=False, places=4)
            | st.integers(0, 10**9).map(Decimal)
        ),
        "cns_position": st.none() | st.integers(-limits.SHARES, limits.SHARES),
        "cns_direction": st.sampled_from(["FTD", "FTR", "N_A"]),
        "reg_sho_threshold": st.booleans(),
        "reg_sho_status": st.sampled_from([None, "NONE", "APPROACHING", "THRESHOLD", "CLOSE_OUT"]),
        "inventory_coverage_pct": _EXACT,
        "cp_fail_rate_pct": st.decimals(0, 100, places=3, allow_nan=False),
        "security_fail_rate_pct_adv": st.none() | _EXACT,
        "cns_eligible": st.booleans(),
        "dk_reason": st.none() | _TEXT,
        "corporate_action": (
            st.none()
            | st.fixed_dictionaries(
                {
                    "pre_event_deliverable": st.none() | st.booleans(),
                    "new_cusip": st.none() | _CUSIP,
                }
            )
        ),
        "awaiting_street_receipt": st.booleans(),
        "notes": st.none() | _TEXT,
    }
).filter(lambda fields: side_agrees(fields["side"], fields["cns_direction"]))


@pytest.mark.slow
@given(RECORDS)
def test_text_form_parses_back_to_the_same_record(fields: dict[str, Any]) -> None:
    """The rendered text of any record is parsed to the same record, also with bars, quotes and
    colons in its free text.
    """
    record = FAIL.read(fields)
    assert record is not None
    text = text_form.render(record)
    assert parse_fail_line(msgspec.json.encode({"text": text})).value == record
    assert text_form.render(record) == text


def test_line_with_text_form_may_add_an_inventory(finops: Finops) -> None:
    """A line may have an inventory beside the text form, which has no place for it."""
    inventory = {
        "box_qty": 5000,
        "stock_loan_available": 0,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }
    [line] = rows(
        finops(
            "run", "-", stdin=jsonl({"fail_id": "F-1", "text": CARD, "inventory": inventory})
        ).stdout
    )
    assert line["resolution"]["resolution_steps"][0]["qty"] == 5000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Qty: 5000", "Qty: many", "a whole number of shares"),
        ("Qty: 5000", "Quantity: 5000", "Field: value"),
        ("Qty: 5000", "Qty: 5000 | Qty: 6000", "Qty once"),
        ("$2.1M", "a lot", "$2.1M"),
        ("7 days", "a week", "7 days"),
        ("Threshold: Yes", "Threshold: perhaps", "Yes or No"),
        ("Rate: 4%", "Rate: >4%", "percentage"),
        ("Rate: 4%", "Rate: 4% | Security Fail Rate: ~2% ADV", "3% ADV"),
        ("Qty: 5000", "Qty: " + "9" * 5000, "a whole number of shares"),
        ("Qty: 5000", "Qty", "Field: value"),
        ("Counterparty: DTC-0005 | ", "", "counterparty is missing"),
        ("Side: Sell", "Side: Short", "Buy, Sell"),
    ],
)
def test_unreadable_text_form_is_rejected_with_the_reason(old: str, new: str, message: str) -> None:
    """An unreadable text form is rejected. The message quotes the pair or names the
    accepted form.
    """
    taken = parse_fail_line(json.dumps({"fail_id": "F-9", "text": CARD.replace(old, new)}).encode())
    assert (taken.value, taken.fail_id) == (None, "F-9")
    assert any(message in problem.message for problem in taken.problems)


@pytest.mark.parametrize(
    ("text", "usd"),
    [
        ("$2.1M", "2100000"),
        ("$450K", "450000"),
        ("$1,250,000", "1250000"),
        ("1.5b", "1500000000"),
        (" $ 7 ", "7"),
        ("0.01", "0.01"),
    ],
)
def test_usd_amount_with_suffix_or_separator_is_parsed(text: str, usd: str) -> None:
    """Amounts with a dollar sign, separators or a suffix are parsed exactly."""
    assert parse_usd(text) == Decimal(usd)


@pytest.mark.parametrize(
    "text", ["", "$", "1,25,000", "1.2.3", "-5", "1e5", "NaN", "Infinity", "$2.1MM", "٣"]
)
def test_malformed_usd_amount_is_refused(text: str) -> None:
    """A text that is not an amount in US dollars raises ValueError."""
    with pytest.raises(ValueError, match="US dollars"):
        parse_usd(text)


@given(st.decimals(0, 10**15, allow_nan=False, places=6))
def test_rendered_usd_amount_parses_back(amount: Decimal) -> None:
    """A rendered amount is parsed to the same amount."""
    assert parse_usd(render_usd(amount)) == amount


@pytest.mark.parametrize("text", ["", "%", "-1%", "4 %%", "1e2"])
def test_malformed_percentage_is_refused(text: str) -> None:
    """A text that is not a percentage raises ValueError."""
    with pytest.raises(ValueError, match="percentage"):
        parse_percent(text)


@pytest.mark.parametrize(
    "cusip", ["594918104", "037833100", "38259P508", "68389X105", "17275R102", "G0085J117"]
)
def test_cusip_is_valid_with_one_check_digit_only(cusip: str) -> None:
    """The CUSIPs of known issuers are valid, and each has exactly one valid check digit."""
    assert is_valid(cusip)
    assert [digit for digit in "0123456789" if is_valid(cusip[:8] + digit)] == [cusip[8]]


@pytest.mark.parametrize(
    "cusip", ["", "59491810", "5949181044", "59491810a", "5949181 4", "594918l04", "59491810*"]
)
def test_malformed_cusip_is_not_valid(cusip: str) -> None:
    """A text of another length or with other characters is not a valid CUSIP."""
    assert not is_valid(cusip)
