"""An upper limit of the tokens of a text, without the tokenizer.

The resolver is trained with at most 5,120 tokens (`finops kb show card-2`). Qwen, Qwen2 and Qwen3
split a text with one regular expression before byte-pair merging, and no merge crosses a split.
(The tokenizer of Qwen3.5 was not tested; its vocabulary is larger.)

    (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\\r\\n\\p{L}\\p{N}]?\\p{L}+ | \\p{N} | ?[^\\s\\p{L}\\p{N}]+[\\r\\n]* | \\s*[\\r\\n]+ | \\s+(?!\\S) | \\s+

The module splits in the same way. The merges of a piece are unknown, so its tokens are estimated
high:

* A digit is always one token, and so is the space before it.
* A word of up to 6 letters, with the sign or space before it, is one token of a vocabulary of
  150,000. A longer word has one token for every 4 letters, rounded up.
* A word in capitals from 3 letters (DTC, FTR, RVP) has at least 2 tokens, and at least one for
  every 4 letters, rounded up.
* A run of signs (`},{"`) has one token for every 2 signs, rounded up. `":"` and `","`, which are
  every other piece of compact JSON, are one token each (3332 and 2247 of cl100k_base, from which
  Qwen's vocabulary was made). Spaces and line ends are one token a piece.
* Other characters have one token per byte, which no byte-level vocabulary exceeds.

The estimate was not compared with a real tokenizer. It is more often too high than too low.
"""  # noqa: E501 - one regular expression

from __future__ import annotations

import re
from functools import lru_cache

_PIECE = re.compile(
    r"'(?:[stmd]|re|ve|ll)"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+"
    r"|\d"
    r"| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
    r"|.",
    re.IGNORECASE,
)
_ONE_TOKEN = frozenset(('":"', '","'))
_WORD_LETTERS, _LETTERS_A_TOKEN, _SIGNS_A_TOKEN, _CAPITALS = 6, 4, 2, 3


def estimated_tokens(text: str) -> int:
    """Estimate an upper limit of the tokens that a Qwen tokenizer makes of `text`."""
    return sum(map(_cost, _PIECE.findall(text)))


@lru_cache(maxsize=8192)
def _cost(piece: str) -> int:
    if not piece.isascii():
        return len(piece.encode())
    letters = piece if piece[0].isalpha() else piece[1:]
    if letters.isalpha():
        return _word_cost(letters)
    return 1 if piece.isspace() or piece in _ONE_TOKEN else -(-len(piece) // _SIGNS_A_TOKEN)


def _word_cost(letters: str) -> int:
    count = len(letters)
    if letters.isupper() and count >= _CAPITALS:
        return max(2, -(-count // _LETTERS_A_TOKEN))
    return 1 if count <= _WORD_LETTERS else -(-count // _LETTERS_A_TOKEN)
