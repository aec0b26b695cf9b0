"""Cut a text into sentences. Nothing is dropped: the parts, put together, are the text."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?]+[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9$])|\n\s*\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Inc|Corp|Ltd|Co|No|Nos|vs|approx|est|incl|Jan|Feb|Mar|Apr|Jun"
    r"|Jul|Aug|Sep|Sept|Oct|Nov|Dec|Messrs|Bros|Fig|e\.g|i\.e|U\.S|U\.K))\.\s+$"
)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of `text`, each with the spaces after it.

    A full stop after an initial or an abbreviation ends no sentence.
    """
    parts: list[str] = []
    begin = 0
    for end in _END.finditer(text):
        if _ABBREVIATION.search(text, begin, end.end()):
            continue
        parts.append(text[begin : end.end()])
        begin = end.end()
    if text[begin:].strip() or not parts:
        parts.append(text[begin:])
    else:
        parts[-1] += text[begin:]
    return parts
