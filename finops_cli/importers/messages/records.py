"""Turn the status of an instruction into a fail record, or say why it gives none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from finops_cli.domain import cusip as cusips
from finops_cli.domain.finding import Problem
from finops_cli.domain.limits import NAME_CHARS, TEXT_CHARS
from finops_cli.importers.counterparties import CounterpartyFile
from finops_cli.importers.messages.status import Party, SettlementStatus
from finops_cli.kb.chapters.messages import MessageRules
from finops_cli.verify.schemas import unusable

_SIDES = {"DELI": "Sell", "RECE": "Buy"}
_DIRECTIONS = {"Sell": "FTD", "Buy": "FTR"}
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_NUMBER = re.compile(r"[0-9]{1,8}")
_LAST_DTC = 9999
_USD = "USD"
_PARTIES = "a DTC number of the other side, or its BIC in a file of --counterparties"


class NotAFail(NamedTuple):
    """Why a status gives no record, and whether it ends an earlier one."""

    why: str
    is_ended: bool = False


def judge(
    status: SettlementStatus, rules: MessageRules, moment: str | None = None
) -> NotAFail | None:
    """Return None for a fail. `moment` is the day of --as-of (default: the day of the message)."""
    meanings = [rules.statuses.get(each, "") for each in status.statuses]
    shown = ", ".join(status.statuses) or "no status"
    if "ended" in meanings:
        return NotAFail(f"{shown}: the instruction is cancelled or refused", is_ended=True)
    if "fail" in meanings:
        return None
    if "late" not in meanings:
        unknown = [each for each in status.statuses if each not in rules.statuses]
        what = f"{', '.join(unknown)} is not in kb messages.statuses" if unknown else "no fail"
        return NotAFail(f"{shown}: {what}")
    day, due = moment or status.stated_on, read_date(status.settlement_date, rules)
    if day is None or due is None:
        return NotAFail(f"{shown}: whether it is late is not known; give --as-of")
    if day <= due:
        return NotAFail(f"{shown}: its settlement date {due} has not passed on {day}")
    return None


def is_without_news(
    status: SettlementStatus, before: SettlementStatus, rules: MessageRules
) -> bool:
    """Return true for a status that leaves the one before it as it is.

    An answer to a cancellation request or to the receipt of an instruction (CPRC, IPRC) does not
    end a fail; a match (MTCH/MACH) ends only that the trade was not matched.
    """
    meanings = {rules.statuses.get(each) for each in status.statuses}
    return meanings == {"open"} and _kinds(status).isdisjoint(_kinds(before))


def _kinds(status: SettlementStatus) -> set[str]:
    return {each.partition("/")[0].replace("INMH", "MTCH") for each in status.statuses}


def make_record(
    status: SettlementStatus, rules: MessageRules, known: CounterpartyFile | None
) -> dict[str, Any] | list[Problem]:
    """Make the record of a fail, or return every problem that it has."""
    problems: list[Problem] = []
    record: dict[str, Any] = {"fail_id": find_reference(status, rules)}
    for field, read in (
        ("cusip", _read_cusip(status, rules)),
        ("side", _read_side(status)),
        ("qty", _read_quantity(status)),
        ("counterparty", _read_counterparty(status, known)),
        ("market_value", _read_amount(status)),
    ):
        if isinstance(read, Problem):
            problems.append(read)
        else:
            record[field] = read
    facts = {
        "trade_date": read_date(status.trade_date, rules),
        "settlement_date": read_date(status.settlement_date, rules),
        "as_of": status.stated_on,
    }
    if facts["settlement_date"] is None:
        accepted = "the date of settlement; ask the custodian, the message has none"
        problems.append(unusable("input.dates", "98A SETT", _show(status), accepted))
    if problems:
        return problems
    record["clock_facts"] = {name: day for name, day in facts.items() if day is not None}
    record["reg_sho_threshold"] = False
    _add_party_name(record, status, known)
    _add_direction(record, rules)
    _add_reasons(record, status, rules)
    if _participant(status.parties[0], known) is None:  # a party behind it was taken
        record["origin"]["assumed"].append("counterparty")
    return record


def _show(status: SettlementStatus) -> str:
    return status.settlement_date or ""


def find_reference(status: SettlementStatus, rules: MessageRules) -> str | None:
    """Return the first reference of the instruction that names it."""
    named = (each for each in status.references if each.upper() not in rules.no_reference)
    return next(named, None)


def _read_cusip(status: SettlementStatus, rules: MessageRules) -> str | Problem:
    """Return the CUSIP of the ISIN: its characters 3 to 11 (ISO 6166)."""
    if status.isin is None:
        accepted = "an ISIN of a security with a CUSIP"
        if status.cusip is None:
            return unusable("schema.required", "35B ISIN", "", accepted)
        found = status.cusip
    else:
        countries = ", ".join(sorted(rules.cusip_countries))
        if not _ISIN.fullmatch(status.isin) or not _has_check_digit(status.isin):
            accepted = "12 characters with their check digit"
            return unusable("schema.format", "35B ISIN", status.isin, accepted)
        has_cusip = status.isin[:2] in rules.cusip_countries
        if not has_cusip and status.cusip is None:
            accepted = f"an ISIN of {countries}, which holds a CUSIP, or a CUSIP beside it"
            return unusable("schema.format", "35B ISIN", status.isin, accepted)
        found = status.isin[2:11] if has_cusip else status.cusip or ""
    if not cusips.is_valid(found):
        return unusable("schema.format", "35B", found, "a CUSIP with its check digit")
    return found


def _has_check_digit(isin: str) -> bool:
    """Return true where the last digit is right (ISO 6166: Luhn over letters as two digits)."""
    digits = "".join(str(int(each, 36)) for each in isin)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0


def _read_side(status: SettlementStatus) -> str | Problem:
    side = _SIDES.get(status.movement or "")
    return side or unusable("schema.enum", "22H REDE", status.movement or "", "DELI or RECE")


def _read_quantity(status: SettlementStatus) -> int | Problem:
    """Return the shares that have not settled."""
    accepted = "a whole number of shares above 0 that has not settled"
    total = _decimal(status.quantity or status.remaining)
    settled = _decimal(status.settled or "0")
    if total is None or settled is None:
        return unusable("schema.type", "36B", status.quantity or "", accepted)
    left = total - settled
    if status.remaining is not None:
        remaining = _decimal(status.remaining)
        if remaining is None or (status.quantity is not None and remaining > total):
            return unusable("schema.range", "36B RSTT", status.remaining, accepted)
        left = remaining
    if left <= 0 or left != left.to_integral_value():
        return unusable("schema.range", "36B", f"{left:f}", accepted)
    return int(left)


def _decimal(text: str | None) -> Decimal | None:
    if text is None or len(text) > _NUMBER_CHARS or not _DECIMAL.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value


_NUMBER_CHARS = 30
_DECIMAL = re.compile(r"[+-]?[0-9]*\.?[0-9]*")
_CENT = Decimal("0.01")


def _read_amount(status: SettlementStatus) -> Decimal | Problem:
    """Return the settlement amount in US dollars."""
    accepted = "the settlement amount in USD"
    if status.amount is None:
        cure = f"{accepted}; a delivery free of payment has none: import it with finops import csv"
        return unusable("schema.required", "19A SETT", "", cure)
    value = _decimal(status.amount)
    if value is None or status.currency != _USD:
        shown = f"{status.currency or ''}{status.amount}"
        return unusable("schema.format", "19A SETT", shown, accepted)
    return _open_part(status, abs(value))


def _open_part(status: SettlementStatus, amount: Decimal) -> Decimal:
    """Return the amount of the shares that have not settled: the stated one, else pro rata."""
    stated, left = _decimal(status.remaining_amount), _read_quantity(status)
    total = _decimal(status.quantity or status.remaining)
    if stated is not None:
        return abs(stated)
    if isinstance(left, Problem) or not total or left == total:
        return amount
    return (amount * left / total).quantize(_CENT)


def _read_counterparty(status: SettlementStatus, known: CounterpartyFile | None) -> str | Problem:
    """Return the DTC number of the nearest party that has one, or whose BIC is known."""
    for party in status.parties:
        found = _participant(party, known)
        if found is not None:
            return found
    shown = ", ".join(
        f"{each.role} {each.dtc or each.bic or each.name or '(neither)'}" for each in status.parties
    )
    return unusable("schema.required", "95", shown, _PARTIES)


def _participant(party: Party, known: CounterpartyFile | None) -> str | None:
    if party.dtc and _NUMBER.fullmatch(party.dtc) and 0 < int(party.dtc) <= _LAST_DTC:
        return f"DTC-{int(party.dtc):04d}"
    row = None if known is None or party.bic is None else known.find_bic(party.bic)
    return None if row is None else row.counterparty


def _add_party_name(
    record: dict[str, Any], status: SettlementStatus, known: CounterpartyFile | None
) -> None:
    row = None if known is None else known.find(record["counterparty"])
    named = [row.name] if row is not None and row.name else [each.name for each in status.parties]
    name = next(filter(None, named), None)
    if name is not None:
        record["counterparty_name"] = name[:NAME_CHARS]


def _add_direction(record: dict[str, Any], rules: MessageRules) -> None:
    if record["counterparty"] in rules.cns_participants:
        is_sale = record["side"] == "Sell"
        record["cns_direction"] = _DIRECTIONS[record["side"]]
        record["cns_position"] = -record["qty"] if is_sale else record["qty"]
    else:
        record["cns_direction"] = "N_A"


def _add_reasons(record: dict[str, Any], status: SettlementStatus, rules: MessageRules) -> None:
    """Add what the reason codes say: a dispute, a receipt that is waited for, notes, origin."""
    codes = [each.code for each in status.reasons]
    words = list(_describe(status, rules))
    disputes = [text for code, text in zip(codes, words, strict=True) if code in rules.dispute]
    if disputes:
        record["dk_reason"] = "; ".join(disputes)[:TEXT_CHARS]
    if record["side"] == "Sell" and not rules.receipt.isdisjoint(codes):
        record["awaiting_street_receipt"] = True
    if words:
        record["notes"] = "; ".join(words)[:TEXT_CHARS]
    origin: dict[str, Any] = {
        "source": "swift",
        "message": status.message,
        "line": status.line,
        "statuses": list(status.statuses),
        "reasons": codes,
        "references": list(status.references),
        "assumed": ["reg_sho_threshold", "market_value"],
    }
    for name, effect in (("hold", rules.hold), ("partial", rules.partial)):
        if not effect.isdisjoint(codes):
            origin[name] = True
    settled = (_decimal(status.quantity) or Decimal(0)) - record["qty"]
    if settled > 0:
        origin["settled_qty"] = f"{settled:f}"
    record["origin"] = origin


def _describe(status: SettlementStatus, rules: MessageRules) -> Iterator[str]:
    """Yield each reason in words, with the narrative of the sender."""
    for reason in status.reasons:
        text = rules.reasons.get(reason.code, f"Reason {reason.code}.")
        yield (
            f"{reason.code}: {text} {reason.narrative}"
            if reason.narrative
            else (f"{reason.code}: {text}")
        )


def read_date(text: str | None, rules: MessageRules) -> str | None:
    """Return a date, YYYY-MM-DD; None for a placeholder such as 9999-12-31."""
    if text is None or not rules.first_year <= int(text[:4]) <= rules.last_year:
        return None
    return text
