"""finops: a local-first desk for US post-trade settlement fails.

The names of the library (`finops_cli.api`) are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finops_cli.version import __version__

if TYPE_CHECKING:
    from finops_cli.api import (
        InvalidRecord,
        NotApplicable,
        Result,
        check,
        compute_clock,
        load_kb,
        resolve,
        run_record,
        run_records,
        triage,
    )
    from finops_cli.errors import FinopsError


__all__ = [
    "FinopsError",
    "InvalidRecord",
    "NotApplicable",
    "Result",
    "__version__",
    "check",
    "compute_clock",
    "load_kb",
    "resolve",
    "run_record",
    "run_records",
    "triage",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = import_module("finops_cli.errors" if name == "FinopsError" else "finops_cli.api")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return __all__
