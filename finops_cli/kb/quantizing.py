"""What a quantized model is held to, as a typed book."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, eq=False, slots=True)
class QuantizingBook:
    """`rows` held-out records are asked about (kb: `quantize.*`); `loss` is in percentage points,
    of valid and of exact answers.
    """

    rows: int
    loss: Mapping[str, Decimal]
