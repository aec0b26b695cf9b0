"""Colours of the tiers on a terminal. Each word is there without its colour too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Paint = Callable[[str, str], str]
"""Gives a text the colour of a tier: `paint("CRITICAL", "CRITICAL  ")`."""

_CODES = {"CRITICAL": "1;31", "HIGH": "31", "MEDIUM": "33"}


def leave_plain(_tier: str, text: str) -> str:
    """Leave a text as it is."""
    return text


def colour_tier(tier: str, text: str) -> str:
    """Colour a text as its tier; LOW and an unknown tier stay as they are."""
    code = _CODES.get(tier)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


def choose_paint(is_terminal: bool, environment: Mapping[str, str]) -> Paint:
    """Return colours for a terminal, and none with NO_COLOR or on a terminal without colours."""
    if not is_terminal or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return leave_plain
    return colour_tier
