"""Tiny models as transformers saves them, of the two networks that finops converts, and adapters on
them as PEFT saves them. The weights are random, and norms, decays and time steps are moved from
their initial values, so that an error in any of them changes the logits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AWKWARD = (
    (
        "The counterparty's broker DTC-0161 won't deliver 1234567890123456789012 shares at $2.1M;"
        " it's 83.16 %."
    ),
    "café naïve Ångström Übergröße façade ñandú",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",  # NFD
    "結算失敗 的 股票 交割不能 데이터 処理",
    "emoji 🚀📉👩‍👩‍👧‍👦 🇺🇸 and \u200d joiners",
    "\ttabs\t\tand   blanks \u00a0 \u3000 end ",
    "CRLF\r\nline\r\n\r\n  indented\n\n\nend\r",
    (
        '<|im_start|>user\ntext<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n{"a":'
        " 1}<|im_end|>"
    ),
    "a<|im_end|>b <think>c</think>d <|endoftext|><|im_start|> <think",
    "भारत में निपटान ไทย العربية עברית Ελληνικά Привет",
    "x²½ Ⅷ ٣٤٥ ①② ﬁ",
    "",
    " ",
    "'s 'S 'LL I'm we'Ve '",
)
_QWEN3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n'"
    " }}{%- endfor %}"
)
_ROLES = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
_WIDTHS: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "bos_token_id": None,
}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
}


def tokenizer(pattern: str = _QWEN3, size: int = 400, texts: Sequence[str] = AWKWARD) -> Any:
    """A byte-level BPE tokenizer of Qwen's kind with `size` tokens and the added ones, trained on
    `texts`.
    """
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
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, by_bytes])
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=1, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([*texts, *texts], trainer)
    control = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    made.add_tokens(
        [AddedToken(word, special=False, normalized=False) for word in ("<think>", "</think>")]
    )
    tokens = PreTrainedTokenizerFast(tokenizer_object=made, **_ROLES)
    tokens.chat_template = TEMPLATE
    return tokens


def save_qwen3(folder: Path, shard: str = "5GB", seed: int = 3, **changes: Any) -> Path:
    """A Qwen3 of two layers."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokens = tokenizer()
    config = Qwen3Config(
        **{
            "vocab_size": len(tokens) + 7,
            "num_hidden_layers": 2,
            "rope_theta": 1e6,
            **_WIDTHS,
            **changes,
        }
    )
    return _save(folder, Qwen3ForCausalLM, config, tokens, shard, seed)


def save_qwen35(folder: Path, shard: str = "5GB", seed: int = 4, **changes: Any) -> Path:
    """A Qwen3.5, text only: three linear attentions and a full one, value heads three to a key
    head.
    """
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    tokens = tokenizer(_QWEN35)
    config = Qwen3_5TextConfig(
        **{"vocab_size": len(tokens), "num_hidden_layers": 4, **_WIDTHS, **_LINEAR, **changes}
    )
    return _save(folder, Qwen3_5ForCausalLM, config, tokens, shard, seed)


def with_vision_tower(text: Path, folder: Path) -> Path:
    """Write the text-only Qwen3.5 in `text` as a checkpoint with a vision tower, which has tensors
    and settings of its own.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(text).save_pretrained(folder)
    tensors = {
        (
            name.replace("model.", "model.language_model.", 1)
            if name.startswith("model.")
            else name
        ): tensor
        for name, tensor in load_file(text / "model.safetensors").items()
    }
    tensors["model.visual.patch_embed.proj.weight"] = torch.ones(4, 4)
    tensors["mtp.fc.weight"] = torch.ones(4, 4)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((text / "config.json").read_text())
    whole = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "text_config": config,
        "vision_config": {"depth": 2},
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(whole))
    return folder


def save_adapter(
    base: Path, folder: Path, targets: str | list[str] = "all-linear", seed: int = 5, **changes: Any
) -> Path:
    """A LoRA adapter over the model in `base` with two random halves, as after training."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        **{"r": 8, "lora_alpha": 32, "target_modules": targets, "task_type": "CAUSAL_LM", **changes}
    )
    adapted = get_peft_model(model, config)
    torch.manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    adapted.save_pretrained(str(folder))
    return folder


def _save(folder: Path, kind: Any, config: Any, tokens: Any, shard: str, seed: int) -> Path:
    import torch

    torch.manual_seed(seed)
    config.eos_token_id, config.pad_token_id = tokens.eos_token_id, tokens.pad_token_id
    dtype = config.dtype or torch.float32
    model = kind(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "conv1d" not in name:
                parameter.mul_(3)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    tokens.save_pretrained(folder)
    return folder


def save_learnt(folder: Path, rows: list[Any]) -> Path:
    """A Qwen3 of one layer that has learnt the answers to `rows` by heart, within seconds.

    Of what its matrices get, number 0 is always zero: what they hold for it changes nothing (see
    `spoiled`).
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from finops_cli.models.prompts import Conversation

    pairs = [
        (
            Conversation(row.prompt[0].content, row.prompt[1].content, False).text,
            f"{row.completion[0].content}<|im_end|>",
        )
        for row in rows
    ]
    tokens = tokenizer(_QWEN3, 600, ["".join(each) for each in pairs])
    ids = [(tokens(prompt)["input_ids"], tokens(answer)["input_ids"]) for prompt, answer in pairs]
    torch.manual_seed(1)
    ends = {"eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id}
    sizes = _WIDTHS | {
        "intermediate_size": 256,
        "max_position_embeddings": 4096,
        "num_hidden_layers": 1,
    }
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokens), rope_theta=1e4, **sizes, **ends))
    longest = max(len(prompt) + len(answer) for prompt, answer in ids)
    input_ids = torch.full((len(ids), longest), tokens.pad_token_id)
    labels = torch.full((len(ids), longest), -100)
    for at, (prompt, answer) in enumerate(ids):
        input_ids[at, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[at, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    learner = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0)
    for _ in range(_PATIENCE):
        loss = model(input_ids, labels=labels).loss
        if loss.item() < _BY_HEART:
            break
        learner.zero_grad()
        loss.backward()
        learner.step()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("layernorm.weight"):
                    parameter[0] = 0
    assert loss.item() < _BY_HEART
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def save_silent(folder: Path) -> Path:
    """Write a Qwen3 that ends every answer before it begins."""
    from safetensors.torch import load_file, save_file

    save_qwen3(folder, max_position_embeddings=4096)
    tensors = load_file(folder / "model.safetensors")
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    for name, tensor in tensors.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[0] = 0
    tensors["model.embed_tokens.weight"][:, 0] = 1
    tensors["model.norm.weight"][:] = 1
    tensors["lm_head.weight"][:] = 0
    tensors["lm_head.weight"][end, 0] = 1000
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def spoil(learnt: Path, folder: Path) -> Path:
    """Write a model of `save_learnt` with large numbers where its input is zero: it answers as
    before, until it is quantized to 4 bits.
    """
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(learnt, folder)
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if any(part in name for part in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")):
            tensors[name][:, 0] = 300
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


_PATIENCE = 300
_BY_HEART = 0.003
"""A loss at which no other token is likely."""
