"""A converted model is the model: llama.cpp says of the GGUF file what transformers says of the
checkpoint.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[train]'")
pytest.importorskip("transformers", reason="needs transformers: pip install -e '.[train]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")

from finops_cli.weights.checkpoint import read_checkpoint  # noqa: E402
from finops_cli.weights.convert import ModelName, Precision, convert, plan_conversion  # noqa: E402
from finops_cli.weights.lora import read_adapter  # noqa: E402
from finops_cli.weights.safetensors import read_tensors  # noqa: E402
from tests.support.tiny_checkpoints import (  # noqa: E402
    AWKWARD,
    save_adapter,
    save_qwen3,
    save_qwen35,
    with_eyes,
)

pytestmark = pytest.mark.filterwarnings("default")  # other people's libraries, of several versions
END = "<|im_end|>"
CLOSE = 1e-3
"""Between logits: both sides sum float32 in their own order."""


def converted(
    folder: Path, target: Path, precision: Precision = "f32", adapter: Path | None = None
) -> Path:
    planned = plan_conversion(read_checkpoint(folder), read_adapter(adapter) if adapter else None)
    convert(planned, target, precision, ModelName("tiny"), lambda done, total: None)
    return target


def llama(path: Path) -> Any:
    """The model in llama.cpp, its cache in float32."""
    import llama_cpp

    return llama_cpp.Llama(
        str(path), n_ctx=256, n_threads=1, logits_all=True, type_k=0, type_v=0, verbose=False
    )


def farthest(folder: Path, path: Path, adapter: Path | None = None) -> float:
    """The largest difference of a logit, over a text of many kinds of tokens."""
    import numpy as np
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    ids = AutoTokenizer.from_pretrained(folder)(AWKWARD[0] + AWKWARD[7] + AWKWARD[3])["input_ids"][
        :200
    ]
    with torch.no_grad():
        theirs = model.eval()(torch.tensor([ids])).logits[0].numpy()
    other = llama(path)
    other.eval(ids)
    ours = other.scores[: len(ids)].copy()
    other.close()
    assert np.abs(theirs).max() > 1  # or anything would be close
    return float(np.abs(theirs - ours).max())


@pytest.mark.parametrize(
    ("save", "changes"),
    [
        (save_qwen3, {}),
        (save_qwen3, {"tie_word_embeddings": True, "shard": "500KB"}),
        (save_qwen35, {}),
        (save_qwen35, {"linear_num_value_heads": 2, "shard": "900KB"}),
    ],
)
def test_logits_are_those_of_transformers(
    save: Callable[..., Path], changes: dict[str, Any], tmp_path: Path
) -> None:
    """In float32, of one file and of several, tied or not, with value heads to be put in order or
    not.
    """
    folder = save(tmp_path / "model", **changes)
    assert ("shard" in changes) == (folder / "model.safetensors.index.json").is_file()
    assert farthest(folder, converted(folder, tmp_path / "model.gguf")) < CLOSE


def test_a_model_with_eyes_is_converted_without_them(tmp_path: Path) -> None:
    """The text part alone, to the same bytes as the text-only checkpoint."""
    text = save_qwen35(tmp_path / "text")
    (tmp_path / "eyes").mkdir()
    eyes = with_eyes(text, tmp_path / "eyes")
    assert len(read_tensors(eyes / "model.safetensors")) == len(read_checkpoint(eyes).tensors) + 2
    assert (
        converted(eyes, tmp_path / "eyes.gguf").read_bytes()
        == converted(text, tmp_path / "text.gguf").read_bytes()
    )


@pytest.mark.parametrize("save", [save_qwen3, save_qwen35])
@pytest.mark.parametrize("more", [{}, {"use_rslora": True}])
def test_a_merged_adapter_is_the_one_of_peft(
    save: Callable[..., Path], more: dict[str, Any], tmp_path: Path
) -> None:
    """All linear layers, both halves away from zero: the logits are those of merge_and_unload, and
    not those of the base.
    """
    folder = save(tmp_path / "model", shard="700KB")
    adapter = save_adapter(folder, tmp_path / "adapter", **more)
    path = converted(folder, tmp_path / "merged.gguf", adapter=adapter)
    assert farthest(folder, path, adapter) < CLOSE
    assert farthest(folder, path) > 100 * CLOSE


@pytest.mark.parametrize("save", [save_qwen3, save_qwen35])
def test_texts_become_the_same_tokens(save: Callable[..., Path], tmp_path: Path) -> None:
    """Token for token; what the tokenizer composes (NFC) is to be composed before, for llama.cpp
    does not.
    """
    from transformers import AutoTokenizer

    folder = save(tmp_path / "model")
    other, theirs = (
        llama(converted(folder, tmp_path / "model.gguf")),
        AutoTokenizer.from_pretrained(folder),
    )
    for text in AWKWARD:
        ours = other.tokenize(
            unicodedata.normalize("NFC", text).encode(), add_bos=False, special=True
        )
        assert ours == theirs(text)["input_ids"], text
        assert theirs.decode(ours) == unicodedata.normalize("NFC", text)
    assert other.token_eos() == theirs.eos_token_id
    other.close()


@pytest.mark.parametrize("kind", ["Qwen2Tokenizer", "Qwen3_5Tokenizer"])
def test_tokenizers_that_transformers_saves_anew_are_taken(kind: str, tmp_path: Path) -> None:
    """Its own classes of Qwen's tokenizers write patterns, normaliser and template in their own
    way.
    """
    import transformers

    folder = (
        save_qwen3(tmp_path / "model")
        if kind == "Qwen2Tokenizer"
        else save_qwen35(tmp_path / "model")
    )
    made = json.loads((folder / "tokenizer.json").read_text())["model"]
    merges = [tuple(pair) for pair in made["merges"]]
    tokens = getattr(transformers, kind)(vocab=made["vocab"], merges=merges, eos_token=END)
    tokens.save_pretrained(folder)
    other = llama(converted(folder, tmp_path / "model.gguf"))
    for text in AWKWARD:
        composed = unicodedata.normalize("NFC", text)
        assert (
            other.tokenize(composed.encode(), add_bos=False, special=True)
            == tokens(text)["input_ids"]
        ), text
    other.close()
