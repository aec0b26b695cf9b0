"""The tokenizer of a base: read from its folder or GGUF file, or learned from generated rows.

In a learned tokenizer each digit is one token.
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
from finops_cli.training.initial_weights import list_tokens
from finops_cli.training.recipe_schema import Base
from finops_cli.weights.gguf_tokenizer import NORMAL, PATTERNS
from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights

_SPLIT_PATTERN = PATTERNS["qwen2"]
"""The pattern that splits a text before merging, as in Qwen2 and Qwen3. llama.cpp supports it."""
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINKING = ("<think>", "</think>")
"""Added tokens that are not special. They are printed, as in Qwen3."""
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
"""ChatML. It renders system, user and assistant messages to the same bytes as Qwen3's template."""


def open_tokenizer(base: Base, texts: Iterable[str]) -> Any | None:
    """Open the tokenizer of `base` and set its padding token; None if only a name is known.

    A vocabulary is learned from `texts`. Raises UsageError for a place without a tokenizer and for
    an unknown padding token.
    """
    place = base.tokenizer if base.scratch is not None else base.folder
    if place is not None:
        from_file = base.scratch is not None and is_gguf(Path(place))
        tokenizer = _read_gguf(Path(place)) if from_file else _read_folder(Path(place))
    elif base.scratch is not None and base.vocabulary is not None:
        tokenizer = learn_tokenizer(texts, base.vocabulary.size)
    else:
        return None
    if base.pad_token is not None:
        if base.pad_token not in tokenizer.get_vocab():
            raise UsageError(
                f"base.pad_token is {base.pad_token}, which is not in the tokenizer. Expected one"
                " of its tokens."
            )
        tokenizer.pad_token = base.pad_token
    return tokenizer


def _read_folder(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder}: no readable tokenizer: {error}",
            "give a folder with the tokenizer of the base",
        ) from error


def learn_tokenizer(texts: Iterable[str], size: int) -> Any:
    """Learn a byte-level BPE tokenizer with `size` tokens and the special tokens.

    Equal texts in equal order give an equal tokenizer.
    """
    made = _build_tokenizer(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return _add_special_tokens(made, TEMPLATE)


def _read_gguf(path: Path) -> Any:
    """Rebuild a learned tokenizer from the GGUF file of a model that was trained with it."""
    stored = open_gguf_weights(path).tokenizer
    merges = [tuple(pair.split(" ")) for pair in stored.merges]
    normal = {
        token: number
        for number, (token, kind) in enumerate(zip(stored.tokens, stored.token_type, strict=False))
        if kind == NORMAL
    }
    whole = all(len(pair) == 2 and {*pair, "".join(pair)} <= normal.keys() for pair in merges)
    if whole and stored.pre == "qwen2" and stored.chat_template:
        tokenizer = _add_special_tokens(
            _build_tokenizer(models.BPE(vocab=normal, merges=merges)), stored.chat_template
        )
        if list_tokens(tokenizer) == stored.tokens:
            return tokenizer
    raise UsageError(
        f"{path}: its tokenizer was not learned by `finops train` (base.vocabulary)",
        "give the folder that the model was saved in",
    )


def _build_tokenizer(model: Any) -> Any:
    """Build a byte-level tokenizer that splits a text as Qwen does before merging."""
    made = Tokenizer(model)
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def _add_special_tokens(made: Any, template: str) -> Any:
    """Add the tokens around messages and reasoning after all learned tokens."""
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


def digest_tokenizer(tokenizer: Any) -> tuple[str, str]:
    """Return the SHA-256 of the tokenizer, with its end and padding tokens, and of its template."""
    identity = (
        f"{tokenizer.backend_tokenizer.to_str()}\0{tokenizer.eos_token}\0{tokenizer.pad_token}"
    )
    return (
        hashlib.sha256(identity.encode()).hexdigest(),
        hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest(),
    )
