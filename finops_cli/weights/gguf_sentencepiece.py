"""Convert a tokenizer of Mistral's kind, a BPE of SentencePiece, to settings of a GGUF file.

llama.cpp has no list of merges for it: it joins the two neighbours whose text is the token with the
best score. That equals the merges of tokenizer.json where these are complete and sorted by their
token, as transformers writes them for a SentencePiece model. Any other tokenizer is refused.

Source: llama.cpp's `src/llama-vocab.cpp` (`llm_tokenizer_spm`) and `conversion/base.py` (MIT, The
ggml authors).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from finops_cli.errors import UsageError
from finops_cli.models.gguf import Pair
from finops_cli.weights.checkpoint import read_json
from finops_cli.weights.gguf_tokenizer import (
    CONTROL,
    FILES,
    NORMAL,
    UNUSED,
    BpeModel,
    TokenizerFile,
    find_special_tokens,
    read_template,
)

_UNKNOWN, _BYTE = 2, 6
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"
_CURE = "give the unchanged tokenizer of a Mistral model"


def sentencepiece_pairs(
    folder: Path, tokenizer: TokenizerFile, config: dict[str, Any], size: int
) -> dict[str, Pair]:
    """Return the settings for a network of `size` tokens.

    Raises UsageError for a tokenizer that llama.cpp would apply differently.
    """
    path = folder / FILES[0]
    model = tokenizer.model
    _refuse_other_model(path, model)
    prefixes = _adds_space(path, tokenizer)
    added = {token.id: token for token in tokenizer.added_tokens}
    ranks = _rank_tokens(path, model, {token.content for token in added.values()})
    by_id = {number: word for word, number in model.vocab.items()}
    by_id |= {number: token.content for number, token in added.items()}
    if max(by_id) >= size:
        raise UsageError(
            f"{path} has token {max(by_id):,}, but the network ends at {size - 1:,} (vocab_size);"
            " they do not belong together",
            "give the tokenizer and config.json of one model",
        )
    tokens = [by_id.get(number, f"[PAD{number}]") for number in range(size)]
    types = [
        _token_type(tokens[number], number in by_id, number in added, model)
        for number in range(size)
    ]
    if sum(kind == _BYTE for kind in types) != 256:
        raise UsageError(f"{path}: has no token for each byte (<0x00> to <0xFF>)", _CURE)
    settings = read_json(folder / FILES[1])
    pairs: dict[str, Pair] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(ranks.get(word, len(ranks))) for word in tokens],
        "tokenizer.ggml.token_type": types,
        **find_special_tokens(path, tokens, types, settings, config),
        "tokenizer.ggml.unknown_token_id": tokens.index(str(model.unk_token)),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": prefixes,
    }
    template = read_template(folder, settings)
    return {**pairs, "tokenizer.chat_template": template} if template else pairs


def _refuse_other_model(path: Path, model: BpeModel) -> None:
    differences = {
        "type": model.type != "BPE",
        "merges": not model.merges,
        "dropout": bool(model.dropout),
        "unk_token": model.unk_token not in model.vocab,
        "continuing_subword_prefix": bool(model.continuing_subword_prefix),
        "end_of_word_suffix": bool(model.end_of_word_suffix),
        "ignore_merges": model.ignore_merges,
    }
    odd = [name for name, is_odd in differences.items() if is_odd]
    if odd:
        raise UsageError(
            f"{path}: model/{odd[0]} is not as in Mistral's BPE; llama.cpp would split texts"
            " differently",
            _CURE,
        )


def _adds_space(path: Path, tokenizer: TokenizerFile) -> bool:
    """Return true if a space is put before each text between special tokens.

    The old form is a normalizer. The new form (Metaspace) puts it before a whole text only, and a
    prompt begins with a special token, so none is put.
    """
    steps = _steps(tokenizer.normalizer)
    kinds = [step.get("type") for step in steps]
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if kinds == ["Prepend", "Replace"] and steps[0].get("prepend") == _SPACE and steps[1] == spaces:
        if tokenizer.pre_tokenizer is None:
            return True
    elif tokenizer.normalizer is None:
        step = tokenizer.pre_tokenizer or {}
        is_metaspace = step.get("type") == "Metaspace" and step.get("replacement") == _SPACE
        puts_none = step.get("prepend_scheme") in ("first", "never") and step.get("split") is False
        if is_metaspace and puts_none:
            return False
    raise UsageError(f"{path}: texts are changed in an unsupported way before the split", _CURE)


def _steps(normalizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if normalizer is None:
        return []
    return list(normalizer.get("normalizers") or [normalizer])


def _rank_tokens(path: Path, model: BpeModel, added: set[str]) -> dict[str, int]:
    """Return the rank of each token that is made by a merge; 0 is merged first.

    Raises UsageError if the merges are not those of SentencePiece.
    """
    ranks: dict[str, int] = {}
    made: dict[str, int] = {}
    last = ""
    for merge in model.merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        token = left + right
        if token != last and token in ranks:
            raise UsageError(f"{path}: the merges are not sorted by their token", _CURE)
        ranks.setdefault(token, len(ranks))
        made[token] = made.get(token, 0) + 1
        last = token
    for token in model.vocab:
        if token in added or _BYTE_TOKEN.fullmatch(token):
            continue
        count = made.get(token, 0)
        splits = sum(
            token[:place] in model.vocab and token[place:] in model.vocab
            for place in range(1, len(token))
        )
        if splits != count:
            raise UsageError(
                f"{path}: {token!r} has {count} merges. Expected {splits}, as in SentencePiece.",
                _CURE,
            )
    return ranks


def _token_type(word: str, is_known: bool, is_added: bool, model: BpeModel) -> int:
    if word == model.unk_token:
        return _UNKNOWN
    if _BYTE_TOKEN.fullmatch(word) and not is_added:
        return _BYTE
    if is_added:
        return CONTROL
    return NORMAL if is_known else UNUSED
