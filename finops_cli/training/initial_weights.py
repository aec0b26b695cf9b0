"""What a model of a recipe's own shape begins with instead of random weights: those of a folder, or
of a GGUF file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_cli.errors import UsageError
from finops_cli.training.recipe_schema import Scratch

if TYPE_CHECKING:
    from finops_cli.weights.gguf_weights import GgufWeights

WEIGHTS_OF_ONE = "model.safetensors"
_SAME = "layers", "heads", "kv_heads", "head_dim", "tied"
_OTHERWISE = {
    "width": "hidden_size",
    "feed_forward": "intermediate_size",
    "rope_base": "rope_theta",
}
"""Sizes of a network that a recipe has too, under the same names and under other ones.

How long a text may be is free to change.
"""


class InitialWeights(NamedTuple):
    """What was found of `base.scratch.weights`, before a weight is read: what keeps a training from
    it, and what is seldom meant.
    """

    blockers: list[str]
    warnings: list[str]


def inspect_initial_weights(
    scratch: Scratch, modelfile: str, tokenizer: Any | None
) -> InitialWeights:
    """`modelfile` is the one that the training is for; `tokenizer` is None where there is
    none yet.
    """
    from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights

    if scratch.weights is None:
        return InitialWeights([], [])
    place = Path(scratch.weights)
    if not is_gguf(place):
        file = place / WEIGHTS_OF_ONE
        absent = (
            f"{file}: no such file; train that model first, or give another base.scratch.weights"
        )
        return InitialWeights([] if file.is_file() else [absent], [])
    try:
        opened = open_gguf_weights(place)
    except UsageError as error:
        return InitialWeights([error.one_line()], [])
    blockers, warnings = list(_other_sizes(opened, scratch)), []
    if tokenizer is not None and words_of(tokenizer) != opened.words.tokens:
        blockers.append(
            f"{place}: has another vocabulary; name the same file as base.tokenizer (and"
            " base.vocabulary=null)"
        )
    if opened.made_for not in (None, modelfile):
        warnings.append(
            f"{place}: is a model made for {opened.made_for}; this training makes one for"
            f" {modelfile}"
        )
    return InitialWeights(blockers, warnings)


def words_of(tokenizer: Any) -> list[str]:
    """All tokens by their numbers."""
    words: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return words


def _other_sizes(file: GgufWeights, scratch: Scratch) -> Iterator[str]:
    for name in (*_SAME, *_OTHERWISE):
        key = _OTHERWISE.get(name, name)
        given, wanted = getattr(file.network, name), getattr(scratch, key)
        if given != wanted:
            yield f"{file.path}: its {key} is {given:g}; base.scratch.{key} is {wanted:g}"
