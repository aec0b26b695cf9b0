"""Fail records for stage 1.

Every band is combined with every other, and both sides of each boundary occur. Source: domain
specification, section 8; kb `data.*`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any, Literal, NamedTuple, cast, get_args

from finops_cli.datasets.counterparties import counterparty
from finops_cli.datasets.desk_notes import desk_note, dispute
from finops_cli.datasets.sampling import chance, deal_evenly, in_band, quantile, rng, smallest_deck
from finops_cli.domain.cusip import ALPHABET, check_digit
from finops_cli.domain.enums import Category, Direction, RegShoStatus, Side
from finops_cli.domain.fail import CorporateAction, FailRecord
from finops_cli.domain.money import Percent, RatePercent, Usd
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.contradictions import find_contradictions
from finops_cli.rules.deadlines import regulatory_state

Profile = Literal["coverage", "market"]
"""The distribution of generated records.

`coverage` has every combination equally often; `market` has values and ages as in the SEC files.
"""

_CENT, _WHOLE = Decimal("0.01"), Decimal(1)
_OLDEST_DAYS, _HIGHEST_USD, _HIGHEST_RATE, _HIGHEST_COVERAGE = 40, 60_000_000, 30, 250
"""The ends of the open bands in generated data. No rule depends on them."""
_DELIVERS, _IN_CNS = 0.35, 0.8
"""Proportions of records: obligations to deliver where no Reg SHO state asks for one, and
corporate actions and disputes in CNS, of those in an eligible security, which are half of them.
"""
_LOG_PRICE = 3.5
"""The natural logarithm of the median share price, about 33 dollars."""
_ROUND_LOTS = (100, 200, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000)


class Dealt(NamedTuple):
    """The properties that an example must have.

    They are dealt so that every block of a dataset has all of them.
    """

    category: Category
    age_band: int
    value_band: int
    state: RegShoStatus
    inventory_band: int
    cp_band: int
    threshold: bool
    not_cns_eligible: bool
    security_rate: bool


def deal(index: int, seed: int, kb: KnowledgeBase) -> Dealt:
    """Return the dealt properties of example `index`."""
    s = kb.scoring
    ages, values = range(len(s.age_factor.values)), range(len(s.value_factor.values))
    age, value, state = deal_evenly(
        list(product(ages, values, get_args(RegShoStatus))), seed, "bands", index
    )
    stacks = list(product((False, True), repeat=len(s.concentration)))
    threshold, not_cns, security, cp_rate = deal_evenly(stacks, seed, "stacks", index)
    category = cast(
        Category, deal_evenly(smallest_deck(kb.datasets.categories), seed, "categories", index)
    )
    over = s.cp_history_factor.index(s.cp_rate_over_pct + _CENT)
    cp_bands = (
        [over]
        if cp_rate
        else [band for band in range(len(s.cp_history_factor.values)) if band != over]
    )
    return Dealt(
        category=category,
        age_band=age,
        value_band=value,
        state=state,
        inventory_band=deal_evenly(
            range(len(s.inventory_modifier.values)), seed, "inventory", index
        ),
        cp_band=deal_evenly(cp_bands, seed, "counterparty", index),
        threshold=threshold if state == "CLOSE_OUT" else state == "THRESHOLD",
        not_cns_eligible=not_cns and category != "CNS_FAIL",
        security_rate=security,
    )


def fails(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Iterator[FailRecord]:
    """Yield records for example `index` without end. None contradicts itself (kb: `input.*`).

    `datasets.splits.first_in_split` takes the first that belongs to the right split.
    """
    asked = deal(index, seed, kb)
    draw = rng(seed, f"triage {profile}", index)
    while True:
        record = _record(asked, index, seed, kb, profile, draw)
        if not find_contradictions(record, kb):
            yield record


def _record(
    dealt: Dealt, index: int, seed: int, kb: KnowledgeBase, profile: Profile, draw: random.Random
) -> FailRecord:
    direction, side = _direction(dealt, profile, draw)
    age, value = _age_and_value(dealt, kb, profile, draw)
    qty = _quantity(value, draw)
    s, edge = kb.scoring, kb.datasets.optional_fields_pct["at_edge"]
    coverage = in_band(
        s.inventory_modifier, dealt.inventory_band, _CENT, _HIGHEST_COVERAGE, draw, edge
    )
    cp_rate = in_band(s.cp_history_factor, dealt.cp_band, _CENT, _HIGHEST_RATE, draw, edge)
    fields: dict[str, Any] = {
        "cusip": cusip(draw),
        "side": side,
        "qty": qty,
        "counterparty": counterparty(index, seed, kb.datasets),
        "age_days": age,
        "market_value": Usd(value),
        "cns_position": _position(direction, qty, kb, draw),
        "cns_direction": direction,
        "reg_sho_threshold": dealt.threshold,
        "inventory_coverage_pct": Percent(tidy(coverage)),
        "cp_fail_rate_pct": RatePercent(tidy(cp_rate)),
        "security_fail_rate_pct_adv": _security_rate(dealt.security_rate, kb, draw),
        "cns_eligible": not dealt.not_cns_eligible,
        "notes": desk_note(draw)
        if chance(draw, kb.datasets.optional_fields_pct["notes"])
        else None,
        **_category_fields(dealt.category, draw),
    }
    record = FailRecord(fail_id=f"T-{seed}-{index:08d}", **fields)
    if profile == "market" or regulatory_state(record, kb.triage) == dealt.state:
        return record
    return FailRecord(fail_id=record.fail_id, reg_sho_status=dealt.state, **fields)


def _direction(dealt: Dealt, profile: Profile, draw: random.Random) -> tuple[Direction, Side]:
    """Draw direction and side. Only an obligation to deliver has a Reg SHO state."""
    owes = draw.random() < (_DELIVERS if dealt.state == "NONE" or profile == "market" else 1)
    if dealt.category == "CNS_FAIL" or (
        dealt.category in ("CA_EVENT", "DK_DISPUTE")
        and draw.random() < _IN_CNS
        and not dealt.not_cns_eligible
    ):
        return ("FTD", "Sell") if owes else ("FTR", "Buy")
    return "N_A", "Sell" if owes else "Buy"


def _quantity(value: Decimal, draw: random.Random) -> int:
    """Draw a quantity that gives the value at a usual share price. Some are rounded to lots."""
    price = Decimal(str(round(draw.lognormvariate(_LOG_PRICE, 1), 2))) + _CENT
    qty = max(1, int(value / price))
    lot = max((lot for lot in _ROUND_LOTS if lot <= qty), default=qty)
    return lot if draw.random() < 0.3 else qty


def _age_and_value(
    dealt: Dealt, kb: KnowledgeBase, profile: Profile, draw: random.Random
) -> tuple[int, Decimal]:
    s, edge = kb.scoring, kb.datasets.optional_fields_pct["at_edge"]
    if profile == "market":
        age = quantile(kb.datasets.market_ages, draw.random(), logarithmic=False)
        value = quantile(kb.datasets.market_values, draw.random(), logarithmic=True)
        return int(age), Decimal(str(round(value, 2)))
    age_days = in_band(s.age_factor, dealt.age_band, _WHOLE, _OLDEST_DAYS, draw, edge)
    exact = in_band(s.value_factor, dealt.value_band, _CENT, _HIGHEST_USD, draw, edge)
    return int(age_days), tidy(
        exact if draw.random() < 0.5 else _in_thousands(exact, dealt.value_band, kb)
    )


def _in_thousands(value: Decimal, band: int, kb: KnowledgeBase) -> Decimal:
    """Round `value` to thousands, as desks do, if it stays in its band."""
    rounded = (value / 1000).to_integral_value() * 1000
    return rounded if kb.scoring.value_factor.index(rounded) == band else value


def tidy(number: Decimal) -> Decimal:
    """Remove trailing zeros: 25.00 becomes 25."""
    whole = number.to_integral_value()
    return whole if whole == number else number.normalize()


def _position(direction: Direction, qty: int, kb: KnowledgeBase, draw: random.Random) -> int | None:
    """Draw the CNS position. It usually agrees with the direction; it may be zero, reversed or
    unknown.
    """
    if direction == "N_A" or chance(draw, kb.datasets.optional_fields_pct["no_position"]):
        return None
    sign = -1 if direction == "FTD" else 1
    return sign * qty if draw.random() < 0.85 else draw.choice((0, -sign * qty))


def _security_rate(concentrated: bool, kb: KnowledgeBase, draw: random.Random) -> Percent | None:
    bound = kb.scoring.security_rate_over_pct_adv
    if concentrated:
        return Percent(tidy(bound + draw.choice((1, draw.randint(2, 1500))) * _CENT))
    if draw.random() < 0.6:
        return None
    return Percent(tidy(draw.choice((bound, bound * draw.randint(0, 99) / 100))))


def _category_fields(category: Category, draw: random.Random) -> dict[str, Any]:
    if category == "DK_DISPUTE":
        return {"dk_reason": dispute(draw)}
    if category == "CA_EVENT":
        return {"corporate_action": corporate_action(draw)}
    return {"awaiting_street_receipt": True} if category == "B2B_PENDING" else {}


def corporate_action(draw: random.Random) -> CorporateAction:
    """Draw one of three paths: the old shares still deliver, there is a new CUSIP, or neither."""
    path = draw.randrange(3)
    return CorporateAction(
        pre_event_deliverable=path == 0, new_cusip=cusip(draw) if path == 1 else None
    )


def cusip(draw: random.Random) -> str:
    """Draw a CUSIP: six characters for the issuer, two issue digits, a valid check digit."""
    issuer = "".join(draw.choices(ALPHABET[:10], k=5)) + draw.choice(ALPHABET[:36])
    issue = f"{issuer}{draw.randrange(10, 100)}"
    return issue + check_digit(issue)
