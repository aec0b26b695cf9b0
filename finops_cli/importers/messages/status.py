"""The settlement status of one instruction, as a market message states it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Movement = Literal["DELI", "RECE"]


class StatusReason(Struct, frozen=True):
    """A reason of a status: its code, and the words of the sender."""

    code: str
    narrative: str | None = None


class Party(Struct, frozen=True, kw_only=True):
    """A party of the settlement chain, as far as the message identifies it."""

    role: str
    """REAG, DEAG, BUYR, SELL ... of ISO 15022; the nearest role first."""
    bic: str | None = None
    dtc: str | None = None
    """The code of the issuer DTCYID, as it is written."""
    name: str | None = None


class SettlementStatus(Struct, frozen=True, kw_only=True):
    """The status of one instruction in a message. Texts are as the message has them."""

    message: str
    """MT548, MT537, sese.024 or semt.018."""
    line: int
    """The line of the file, from 1, where the instruction begins."""
    message_reference: str | None = None
    references: tuple[str, ...] = ()
    """The references of the instruction, the account owner's first."""
    statuses: tuple[str, ...] = ()
    """Kind and code, such as SETT/PENF."""
    reasons: tuple[StatusReason, ...] = ()
    isin: str | None = None
    cusip: str | None = None
    description: str | None = None
    quantity: str | None = None
    """Shares or face amount, with a decimal point."""
    settled: str | None = None
    """The part of the quantity that has settled."""
    remaining: str | None = None
    """The part of the quantity that has not settled, where the message states it."""
    movement: str | None = None
    amount: str | None = None
    currency: str | None = None
    remaining_amount: str | None = None
    """The amount of what has not settled, in the same currency."""
    trade_date: str | None = None
    """YYYY-MM-DD."""
    settlement_date: str | None = None
    stated_on: str | None = None
    """The day of the message or of the statement."""
    stated_at: str | None = None
    """The moment as digits, YYYYMMDD or YYYYMMDDhhmmss, which orders statuses."""
    parties: tuple[Party, ...] = ()


class Cancelled(Struct, frozen=True, kw_only=True):
    """A message that cancels an earlier message."""

    message: str
    line: int
    reference: str | None
    """The message that is cancelled."""


class Skipped(Struct, frozen=True, kw_only=True):
    """A message without a settlement status, or one that cannot be read whole."""

    message: str
    line: int
    why: str
    is_damaged: bool = False
    """Something of the message is lost; its sender has to be asked."""
    is_read: bool = False
    """The message is read; `why` is a doubt."""


Read = SettlementStatus | Cancelled | Skipped
