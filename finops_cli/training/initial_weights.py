"""Inspect the weights that a new model starts with: a folder or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_cli.errors import UsageError
from finops_cli.training.recipe_schema import Scratch

if TYPE_CHECKING:
    from finops_cli.weights.gguf_weights import GgufWeights

SINGLE_WEIGHTS_FILE = "model.safetensors"
_SAME = "layers", "heads", "kv_heads", "head_dim", "tied"
_OTHERWISE = {
    "width": "hidden_size",
    "feed_forward": "intermediate_size",
    "rope_base": "rope_theta",
}
"""Sizes in a recipe, with their names in `Architecture`.

The longest text may differ.
"""


class InitialWeights(NamedTuple):
    """The findings about `base.scratch.weights`, before the weights are read."""

    blockers: list[str]
    """Reasons why training cannot start from them."""
    warnings: list[str]
    """Unusual choices."""


def inspect_initial_weights(
    scratch: Scratch, modelfile: str, tokenizer: Any | None
) -> InitialWeights:
    """Inspect the initial weights of a recipe.

    `modelfile` is the prompt to train for. `tokenizer` is None if it does not exist yet.
    """
    from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights

    if scratch.weights is None:
        return InitialWeights([], [])
    place = Path(scratch.weights)
    if not is_gguf(place):
        file = place / SINGLE_WEIGHTS_FILE
        absent = f"{file}: no such file; train that model first, or change base.scratch.weights"
        return InitialWeights([] if file.is_file() else [absent], [])
    try:
        opened = open_gguf_weights(place)
    except UsageError as error:
        return InitialWeights([error.one_line()], [])
    blockers, warnings = list(_find_size_differences(opened, scratch)), []
    if tokenizer is not None and list_tokens(tokenizer) != opened.tokenizer.tokens:
        blockers.append(
            f"{place} has another vocabulary; set base.tokenizer to the same file and"
            " base.vocabulary=null"
        )
    if opened.made_for not in (None, modelfile):
        warnings.append(
            f"{place} is a model for the prompt of {opened.made_for}; this run trains for the"
            f" prompt of {modelfile}"
        )
    return InitialWeights(blockers, warnings)


def list_tokens(tokenizer: Any) -> list[str]:
    """Return all tokens in the order of their ids."""
    tokens: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return tokens


def _find_size_differences(file: GgufWeights, scratch: Scratch) -> Iterator[str]:
    for name in (*_SAME, *_OTHERWISE):
        key = _OTHERWISE.get(name, name)
        given, wanted = getattr(file.network, name), getattr(scratch, key)
        if given != wanted:
            yield f"{file.path} has {key} {given:g}, but base.scratch.{key} is {wanted:g}"
