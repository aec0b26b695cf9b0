"""JSON in which numbers stay exact: a fraction is a Decimal on the way in and a number, digit for
digit, on the way out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

UNREADABLE: Final = (
    msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError
)  # fmt: skip
"""The errors of a msgspec decoder for bytes that hold no value of its type: they are not JSON or
not UTF-8, are nested too deeply, or have a number out of range.
"""


def _plain(value: object) -> Decimal:
    """Convert a subclass of Decimal (`domain.money`), which the encoder does not know."""
    if isinstance(value, Decimal):
        return Decimal(value)
    raise NotImplementedError(type(value))


_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: object) -> bytes:
    """Encode `value`, a domain object or plain data, as compact JSON."""
    return _ENCODER.encode(value)


def decode(text: bytes | str) -> Any:
    """Decode a JSON text to plain data.

    Raises ValueError, ArithmeticError (a number out of range) or RecursionError.
    """
    return _DECODER.decode(text)
