"""What a model of a recipe's own shape begins with instead of random weights: those of a folder, or of a GGUF file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finops_cli.errors import UsageError
from finops_cli.foundry.training.settings import Scratch, Settings

if TYPE_CHECKING:
    from finops_cli.foundry.weights.reopened import Reopened

WEIGHTS_OF_ONE = "model.safetensors"
_SAME = "layers", "heads", "kv_heads", "head_dim", "tied"
_OTHERWISE = {"width": "hidden_size", "feed_forward": "intermediate_size", "rope_base": "rope_theta"}
"""Sizes of a network that a recipe has too, under the same names and under other ones. How long a text may be is free to change."""


def beginning_faults(scratch: Scratch, tokenizer: Any | None) -> Iterator[str]:
    """What keeps a training from beginning with `scratch.weights`, before a weight is read. `tokenizer` is None where there is none yet."""
    from finops_cli.foundry.weights.reopened import is_gguf, reopen

    if scratch.weights is None:
        return
    place = Path(scratch.weights)
    if not is_gguf(place):
        if not (place / WEIGHTS_OF_ONE).is_file():
            yield f"{place / WEIGHTS_OF_ONE}: no such file; train that model first, or give another base.scratch.weights"
        return
    try:
        file = reopen(place)
    except UsageError as error:
        yield str(error)
        return
    yield from _other_sizes(file, scratch)
    if tokenizer is not None and words_of(tokenizer) != file.words.tokens:
        yield f"{place}: has another vocabulary; name the same file as base.tokenizer (and base.vocabulary=null)"


def beginning_warnings(settings: Settings) -> Iterator[str]:
    """What may well be meant, and is seldom: a model that goes on with one of another stage."""
    from finops_cli.foundry.weights.reopened import is_gguf, reopen

    place = Path(settings.base.scratch.weights) if settings.base.scratch is not None and settings.base.scratch.weights else None
    if place is not None and is_gguf(place):
        made_for = reopen(place).made_for
        if made_for not in (None, settings.data.modelfile):
            yield f"{place}: is a model made for {made_for}; this training makes one for {settings.data.modelfile}"


def words_of(tokenizer: Any) -> list[str]:
    """All tokens by their numbers."""
    words: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return words


def _other_sizes(file: Reopened, scratch: Scratch) -> Iterator[str]:
    for name in (*_SAME, *_OTHERWISE):
        key = _OTHERWISE.get(name, name)
        given, wanted = getattr(file.network, name), getattr(scratch, key)
        if given != wanted:
            yield f"{file.path}: its {key} is {given:g}; base.scratch.{key} is {wanted:g}"
