"""The tokenizer of the tiny models: byte-level BPE over the desk's own words, every digit a token of its own.

Texts are split as Qwen2 splits them, so that a GGUF file with `tokenizer.ggml.pre = qwen2` is tokenised by llama.cpp in the same
way. Training has no random part: the same texts in the same order give the same merges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from finops_cli.errors import MissingPiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT, TURN_BEGINS, TURN_ENDS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, TURN_BEGINS, TURN_ENDS)
"""Padding, the beginning of a turn, its end."""
PLAIN = ("<think>", "</think>")
"""Added words that are no control tokens, as in Qwen3: an answer shows them."""
_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The pre-tokenizer of Qwen2 (tokenizer.json of Qwen/Qwen3-8B; llama.cpp, src/llama-vocab.cpp, `LLAMA_VOCAB_PRE_TYPE_QWEN2`)."""
CHAT_TEMPLATE = (
    "{%- for m in messages %}"
    "{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' and '</think>' not in m.content %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{{- m.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
"""ChatML as `models.prompts` renders it."""


def train_tokenizer(texts: Iterable[str], words: int) -> Tokenizer:
    """A tokenizer of `words` tokens, the added ones included. Raises MissingPiece without the extra `train`."""
    try:
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    except ImportError as error:
        raise MissingPiece("the tiny models need tokenizers: pip install 'finops[train]'") from error
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"), bytes_of_words])
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    size = words - len(CONTROL) - len(PLAIN)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL])
    made.add_tokens([AddedToken(name, special=False, normalized=False) for name in PLAIN])
    return made
