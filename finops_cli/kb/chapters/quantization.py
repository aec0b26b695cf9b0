"""The settings of quantization: what a smaller model may lose."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler


class QuantizationSettings(Struct, frozen=True, eq=False, kw_only=True):
    """`rows` held-out records are asked about (kb: `quantize.*`); `loss` is in percentage points,
    of valid and of exact answers.
    """

    rows: int
    loss: Mapping[str, Decimal]


def compile_quantization(c: Compiler) -> QuantizationSettings:
    settings = QuantizationSettings(
        rows=c.whole("quantize.rows", highest=1_000_000),
        loss=c.numbers("quantize.loss", ("valid", "exact"), highest=100),
    )
    if settings.rows < 1:
        raise KnowledgeError(f"kb entry quantize.rows: {settings.rows} must be at least 1")
    return settings
