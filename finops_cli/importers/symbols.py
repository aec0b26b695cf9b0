"""Compare the symbols of securities: each house writes a class or a warrant in its own way.

`BRK.B`, `BRK/B`, `BRK-B`, `BRK B` and `BRKB` are one symbol. Case is kept, because a small `p` or
`w` marks another security: the preferred share `ABCpA` is not `ABCPA`. Signs such as `+`, `^`, `=`
and `*` are kept too: they mark a warrant, a right or a unit.
"""

from __future__ import annotations

SEPARATORS = "./-"
"""The signs that some houses write between the root of a symbol and its suffix, beside spaces."""
_DROPPED = str.maketrans("", "", SEPARATORS)


def compare_form(symbol: str) -> str:
    """Return the form of a symbol by which two lists are compared: `BRK.B` gives `BRKB`.

    Empty for a text without a symbol, which joins nothing.
    """
    return "".join(symbol.translate(_DROPPED).split())
