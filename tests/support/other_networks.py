"""Tiny models of other networks than Qwen: a Mistral with turns of its own, and a DistilBERT that
has one output for each label. The weights are random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finops_cli.domain.sentiment import LABELS
from tests.support.tiny_checkpoints import AWKWARD

UNKNOWN, SPACE = "<unk>", "\u2581"
MISTRAL_ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": UNKNOWN}
BERT_ROLES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
}
MISTRAL_TEMPLATE = (
    "{{- bos_token }}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{{- '[INST] ' + m.content + ' [/INST]' }}"
    "{%- else %}{{- raise_exception('only user turns') }}{%- endif %}{%- endfor %}"
)


def _learn_pieces(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learn a vocabulary with every split of a token as a merge, as transformers writes a
    SentencePiece model.
    """
    from tokenizers import Tokenizer, models, trainers

    special = [UNKNOWN, "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learner = Tokenizer(models.BPE(unk_token=UNKNOWN))
    trainer = trainers.BpeTrainer(
        vocab_size=size + len(special), special_tokens=special, show_progress=False
    )
    texts = [f"Profit rose {n} %: the answer is {label}." for n in range(40) for label in LABELS]
    learner.train_from_iterator([text.replace(" ", SPACE) for text in [*texts, *AWKWARD]], trainer)
    vocabulary = learner.get_vocab()
    merges = [
        (token[:place], token[place:])
        for token in sorted(vocabulary, key=vocabulary.__getitem__)[len(special) :]
        for place in range(1, len(token))
        if token[:place] in vocabulary and token[place:] in vocabulary
    ]
    return vocabulary, merges


def mistral_tokenizer(size: int = 400) -> Any:
    """A tokenizer of Mistral's kind: a BPE over words that begin with a block, with bytes for
    characters that it does not know, and turns in square brackets.
    """
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = _learn_pieces(size)
    made = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    made.add_special_tokens(
        [AddedToken(word, special=True, normalized=False) for word in ("[INST]", "[/INST]")]
    )
    tokens = PreTrainedTokenizerFast(tokenizer_object=made, **MISTRAL_ROLES)
    tokens.chat_template = MISTRAL_TEMPLATE
    return tokens


def save_mistral(folder: Path, seed: int = 6, **changes: Any) -> Path:
    """A Mistral of two layers."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    tokens = mistral_tokenizer()
    sizes = {
        "vocab_size": len(tokens),
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "sliding_window": None,
    }
    torch.manual_seed(seed)
    model = MistralForCausalLM(MistralConfig(**{**sizes, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3) if parameter.ndim > 1 else parameter.add_(
                0.3 * torch.randn_like(parameter)
            )
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def save_distilbert(folder: Path, seed: int = 7, labels: tuple[str, ...] = LABELS) -> Path:
    """A DistilBERT of one layer with an output for each of `labels`."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "profit", "sales", "rose", "fell", "flat", "."]
    made = Tokenizer(
        models.WordPiece(
            {word: at for at, word in enumerate(words)}, unk_token=BERT_ROLES["unk_token"]
        )
    )
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokens = PreTrainedTokenizerFast(tokenizer_object=made, **BERT_ROLES)
    torch.manual_seed(seed)
    config = DistilBertConfig(
        vocab_size=len(words), dim=32, hidden_dim=64, n_layers=1, n_heads=2,
        max_position_embeddings=64, id2label=dict(enumerate(labels)),
        label2id={label: at for at, label in enumerate(labels)},
    )  # fmt: skip
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
