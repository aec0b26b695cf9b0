"""A letter as an e-mail message (.eml) that a mail program opens as a draft."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from finops_cli.clock.moments import parse_moment, to_utc
from finops_cli.letters.compose import Letter

_NO_DOMAIN = "finops.invalid"
"""A domain that can never exist (RFC 2606), for a sender without an e-mail address."""
_ID_CHARS = 32
_TRANSFER = "quoted-printable"


def write_message(letter: Letter, sender: str | None, as_of: str | None) -> bytes:
    """Return the message. Equal letters give equal bytes: no local time, no random boundary.

    `as_of` is a moment in Eastern Time; without one the message has no date.
    """
    from email.message import EmailMessage  # a tenth of a second, which only messages need
    from email.policy import SMTP
    from email.utils import format_datetime

    message = EmailMessage(SMTP)
    message["Subject"] = letter.subject
    if sender is not None:
        message["From"] = sender
    if letter.addressee.email is not None:
        message["To"] = letter.addressee.email
    if as_of is not None:
        message["Date"] = format_datetime(_moment(as_of))
    domain = _NO_DOMAIN if sender is None else sender.rpartition("@")[2]
    digest = _digest(letter, sender, as_of)
    message["Message-ID"] = f"<{digest}@{domain}>"
    message["X-Unsent"] = "1"  # Outlook opens the file as a draft that can be edited
    message.set_content(letter.text, cte=_TRANSFER)
    message.add_alternative(letter.html, subtype="html", cte=_TRANSFER)
    message.set_boundary(f"=_{digest}")
    return message.as_bytes()


def _moment(as_of: str) -> datetime:
    return to_utc(parse_moment(as_of)).replace(tzinfo=UTC)


def _digest(letter: Letter, sender: str | None, as_of: str | None) -> str:
    parts = (sender, letter.addressee.email, as_of, letter.subject, letter.text)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:_ID_CHARS]
