"""The options of a model in Ollama, with their types.

Ollama ignores an unknown option and writes only to its own log.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from difflib import get_close_matches

from finops_cli.errors import UsageError

Value = int | float | str | list[str]
"""The type of an option in the API. true and false count as int."""

_LARGEST = 2**53
"""The largest whole number that is sent.

Ollama reads JSON numbers as doubles, so larger numbers would change.
"""
_WHOLE = re.compile(r"[+-]?[0-9]{1,16}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) and abs(int(text)) <= _LARGEST else None


def _decimal(text: str) -> float | None:
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _texts(text: str) -> list[str]:
    return [text]


_KINDS: dict[str, Callable[[str], Value | None]] = {
    "a whole number": _whole,
    "a number": _decimal,
    "true or false": _truth,
    "a text": _texts,
}
OPTIONS = {
    # when the model is loaded
    "num_ctx": "a whole number",
    "num_batch": "a whole number",
    "num_gpu": "a whole number",
    "main_gpu": "a whole number",
    "num_thread": "a whole number",
    "draft_num_predict": "a whole number",
    "use_mmap": "true or false",
    # for each answer
    "num_keep": "a whole number",
    "num_predict": "a whole number",
    "seed": "a whole number",
    "top_k": "a whole number",
    "top_p": "a number",
    "min_p": "a number",
    "typical_p": "a number",
    "repeat_last_n": "a whole number",
    "temperature": "a number",
    "repeat_penalty": "a number",
    "presence_penalty": "a number",
    "frequency_penalty": "a number",
    "stop": "a text",
}
"""Name and kind of every option of Ollama 0.33 (api/types.go). `stop` may be repeated."""

GONE = (
    "penalize_newline",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mlock",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "tfs_z",
    "numa",
    "embedding_only",
)
"""Options of earlier versions. Ollama ignores them."""


def typed(place: str, name: str, text: str) -> Value:
    """Convert `text` to the type of the option `name`.

    Raises UsageError that begins with `place` and names the accepted values.
    """
    if name in GONE:
        raise UsageError(f"{place}: Ollama no longer has this option", "leave the line out")
    if name not in OPTIONS:
        near = get_close_matches(name, OPTIONS, n=1, cutoff=0.5)
        cure = f"did you mean {near[0]}?" if near else f"accepted: {', '.join(OPTIONS)}"
        raise UsageError(f"{place}: Ollama has no such option", cure)
    value = _KINDS[OPTIONS[name]](text)
    if value is None:
        raise UsageError(f"{place} takes {OPTIONS[name]}, not {text}")
    return value
