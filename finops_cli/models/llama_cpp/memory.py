"""The memory that model files need, and their digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from finops_cli.models.gguf import NotGguf, gguf_pairs
from finops_cli.models.llama_cpp.messages import Load
from finops_cli.models.recovery.ladder import Rung

_F16_BYTES = 2


def memory_bytes(load: Load) -> int:
    """Estimate the bytes of the model of `load`: its file, and the keys and values (f16) of every
    token in all contexts.

    Returns the size of the file if its head does not give the sizes.
    """
    path = Path(load.path)
    tokens = (
        load.context * (load.sequences + 1) * load.groups
    )  # one more sequence holds the common prefix
    return path.stat().st_size + tokens * (token_bytes(path) or 0)


def token_bytes(path: Path) -> int | None:
    """Return the bytes of the keys and values of one token, as if every layer kept them.

    Returns None if the head is damaged or does not give the sizes.
    """
    try:
        found = _architecture(path)
        heads, layers = found["attention.head_count"], found["block_count"]
        kept = found.get("attention.head_count_kv", heads)
        each = found["embedding_length"] // (max(heads) if isinstance(heads, list) else heads)
    except (NotGguf, KeyError, ZeroDivisionError, ValueError):
        return None  # llama.cpp says what is wrong with it when it loads it
    length = found.get("attention.key_length", each) + found.get("attention.value_length", each)
    return int(_F16_BYTES * length * (sum(kept) if isinstance(kept, list) else kept * layers))


def reduce_load(load: Load, rung: Rung, longest_prompt: int, max_tokens: int | None) -> Load:
    """Return `load` with the memory that a rung of the recovery ladder leaves it.

    `longest_prompt` and `max_tokens` are in tokens: the longest prompt so far (0: none was read),
    and the longest answer (None: as long as the context).
    """
    if rung == "halve" and load.groups > 1:
        return msgspec.structs.replace(load, groups=load.groups // 2)
    if rung == "halve":
        return msgspec.structs.replace(load, sequences=max(1, load.sequences // 2))
    if rung == "shrink" and longest_prompt:
        room = longest_prompt + (load.context if max_tokens is None else max_tokens)
        return msgspec.structs.replace(load, context=min(load.context, room))
    return load


def _architecture(path: Path) -> dict[str, Any]:
    """Return the pairs about the network, without the prefix of its kind.

    They come before the vocabulary, which is long.
    """
    pairs: dict[str, Any] = {}
    for name, value in gguf_pairs(path):
        if name.startswith("tokenizer."):
            break
        pairs[name] = value
    kind = pairs["general.architecture"]
    return {
        name.removeprefix(f"{kind}."): value
        for name, value in pairs.items()
        if name.startswith(f"{kind}.")
    }
