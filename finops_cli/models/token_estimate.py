"""How many tokens a text costs at most, without the tokenizer: the budget of 5,120 that card 2
trains under.

Qwen, Qwen2 and Qwen3 split a text with one regular expression before byte-pair merging, and no
merge crosses a split (the tokenizer of Qwen3.5 was not seen; its vocabulary is larger):

    (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\\r\\n\\p{L}\\p{N}]?\\p{L}+ | \\p{N} | ?[^\\s\\p{L}\\p{N}]+[\\r\\n]* | \\s*[\\r\\n]+ | \\s+(?!\\S) | \\s+

The split is reproduced here; what the merges make of a piece is not known and is taken high:

* a digit is always a token of its own, and so is the space before it; * a word of up to 6 letters,
with the sign or space that leads it, is in a vocabulary of 150,000; a longer one is taken as
  a token for every 4 letters begun (`settlement` as 3, where one is likely);
* capitals are rarer: 2 tokens from 3 letters on (DTC, FTR, RVP), and never fewer than a token for
every 4 letters begun; * signs in a run (`},{"`) are a token for every 2 begun; `":"` and `","`,
every other piece of compact JSON, are one: they are
  numbers 3332 and 2247 of cl100k_base, the vocabulary that Qwen's was grown from. Blanks and line ends are one a piece;
* what is not ASCII counts a token a byte, which no byte-level vocabulary exceeds.

Nothing here was held against a real tokenizer: it is an estimate that errs on the side that fits.
"""  # noqa: E501 - a diagram

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
    """An upper estimate of what a Qwen tokenizer makes of `text`."""
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
