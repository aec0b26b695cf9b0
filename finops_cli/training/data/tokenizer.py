"""The tokenizer of a base: the one of its folder or GGUF file, or a small one learned from
generated rows, digits single.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from finops_cli.errors import UsageError
from finops_cli.training.initial_weights import words_of
from finops_cli.training.recipe_schema import Base
from finops_cli.weights.gguf_tokenizer import NORMAL, PATTERNS
from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights

_CUT = PATTERNS["qwen2"]
"""How Qwen2 and Qwen3 part a text before they merge: llama.cpp knows the pattern, and so parts it
alike.
"""
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINKING = ("<think>", "</think>")
"""Tokens of their own, and not special: they are printed, as Qwen3 has it."""
TEMPLATE = """\
{%- for m in messages %}
    {{- '<|im_start|>' + m.role + '\\n' }}
    {%- if m.role == 'assistant' and '</think>' not in m.content %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
    {{- m.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""  # noqa: E501 - a template, byte for byte
"""ChatML as Qwen3's own template renders system, user and assistant, byte for byte."""


def open_tokenizer(base: Base, texts: Iterable[str]) -> Any | None:
    """The tokenizer of `base`, its padding token set; None where only the name of the base is
    known.

    `texts` are those to learn a vocabulary from. Raises UsageError for a place without one and for
    a padding token it does not have.
    """
    place = base.tokenizer if base.scratch is not None else base.folder
    if place is not None:
        from_file = base.scratch is not None and is_gguf(Path(place))
        tokenizer = _reopened(Path(place)) if from_file else _opened(Path(place))
    elif base.scratch is not None and base.vocabulary is not None:
        tokenizer = learned(texts, base.vocabulary.size)
    else:
        return None
    if base.pad_token is not None:
        if base.pad_token not in tokenizer.get_vocab():
            raise UsageError(
                f"base.pad_token is {base.pad_token}, which the tokenizer does not have",
                "name one of its tokens",
            )
        tokenizer.pad_token = base.pad_token
    return tokenizer


def _opened(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: holds no tokenizer that can be read: {error}") from error


def learned(texts: Iterable[str], size: int) -> Any:
    """A byte-level BPE tokenizer of `texts`: equal texts in equal order make an equal one.

    It has a few special tokens more than `size`.
    """
    made = _parted(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return _finished(made, TEMPLATE)


def _reopened(path: Path) -> Any:
    """The tokenizer that `learned` made, out of the GGUF file of the model that was trained with
    it.
    """
    words = open_gguf_weights(path).words
    merges = [tuple(pair.split(" ")) for pair in words.merges]
    normal = {
        word: number
        for number, (word, kind) in enumerate(zip(words.tokens, words.token_type, strict=False))
        if kind == NORMAL
    }
    whole = all(len(pair) == 2 and {*pair, "".join(pair)} <= normal.keys() for pair in merges)
    if whole and words.pre == "qwen2" and words.chat_template:
        tokenizer = _finished(_parted(models.BPE(vocab=normal, merges=merges)), words.chat_template)
        if words_of(tokenizer) == words.tokens:
            return tokenizer
    raise UsageError(
        f"{path}: its tokenizer is none that a tiny preset learned",
        "give the folder that the model was saved in",
    )


def _parted(model: Any) -> Any:
    """A tokenizer of `model` that parts a text as Qwen's do, and takes bytes for letters."""
    made = Tokenizer(model)
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CUT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def _finished(made: Any, template: str) -> Any:
    """With the tokens that part messages and thoughts, behind all that were learned."""
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in _SPECIAL])
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in _THINKING])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=_SPECIAL[2],
        pad_token=_SPECIAL[0],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return tokenizer


def digests(tokenizer: Any) -> tuple[str, str]:
    """SHA-256 of the tokenizer with the tokens that end and pad, and of its chat template."""
    told = f"{tokenizer.backend_tokenizer.to_str()}\0{tokenizer.eos_token}\0{tokenizer.pad_token}"
    return (
        hashlib.sha256(told.encode()).hexdigest(),
        hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest(),
    )
