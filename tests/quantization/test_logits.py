"""Converted models: llama.cpp computes the logits of the GGUF file that transformers computes for
the checkpoint.
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
    with_vision_tower,
)

pytestmark = pytest.mark.filterwarnings("default")  # other people's libraries, of several versions
END = "<|im_end|>"
CLOSE = 1e-3
"""Between logits: both sides sum float32 in their own order."""


def convert_model(
    folder: Path, target: Path, precision: Precision = "f32", adapter: Path | None = None
) -> Path:
    planned = plan_conversion(read_checkpoint(folder), read_adapter(adapter) if adapter else None)
    convert(planned, target, precision, ModelName("tiny"), lambda done, total: None)
    return target


def open_llama(path: Path) -> Any:
    """Open a model in llama.cpp with its cache in float32."""
    import llama_cpp

    return llama_cpp.Llama(
        str(path), n_ctx=256, n_threads=1, logits_all=True, type_k=0, type_v=0, verbose=False
    )


def largest_difference(folder: Path, path: Path, adapter: Path | None = None) -> float:
    """Return the largest difference of a logit over a text with many kinds of tokens."""
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
    other = open_llama(path)
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
def test_converted_logits_equal_transformers(
    save: Callable[..., Path], changes: dict[str, Any], tmp_path: Path
) -> None:
    """In float32 the logits equal those of transformers, for checkpoints in one or more files, tied
    or not, with any head layout.
    """
    folder = save(tmp_path / "model", **changes)
    assert ("shard" in changes) == (folder / "model.safetensors.index.json").is_file()
    assert largest_difference(folder, convert_model(folder, tmp_path / "model.gguf")) < CLOSE


def test_vision_model_is_converted_without_its_vision_tower(tmp_path: Path) -> None:
    """A model with a vision tower is converted to the bytes of its text-only checkpoint."""
    text = save_qwen35(tmp_path / "text")
    (tmp_path / "eyes").mkdir()
    eyes = with_vision_tower(text, tmp_path / "eyes")
    assert len(read_tensors(eyes / "model.safetensors")) == len(read_checkpoint(eyes).tensors) + 2
    assert (
        convert_model(eyes, tmp_path / "eyes.gguf").read_bytes()
        == convert_model(text, tmp_path / "text.gguf").read_bytes()
    )


@pytest.mark.parametrize("save", [save_qwen3, save_qwen35])
@pytest.mark.parametrize("more", [{}, {"use_rslora": True}])
def test_merged_adapter_logits_equal_peft(
    save: Callable[..., Path], more: dict[str, Any], tmp_path: Path
) -> None:
    """The logits of a merged adapter equal those of `merge_and_unload`, and differ from those of
    the base.
    """
    folder = save(tmp_path / "model", shard="700KB")
    adapter = save_adapter(folder, tmp_path / "adapter", **more)
    path = convert_model(folder, tmp_path / "merged.gguf", adapter=adapter)
    assert largest_difference(folder, path, adapter) < CLOSE
    assert largest_difference(folder, path) > 100 * CLOSE


@pytest.mark.parametrize("save", [save_qwen3, save_qwen35])
def test_converted_tokenizer_gives_the_same_tokens(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    """llama.cpp tokenizes NFC-normalised texts as the checkpoint's tokenizer does."""
    from transformers import AutoTokenizer

    folder = save(tmp_path / "model")
    other, theirs = (
        open_llama(convert_model(folder, tmp_path / "model.gguf")),
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
def test_tokenizer_saved_by_transformers_is_converted(kind: str, tmp_path: Path) -> None:
    """The tokenizers that the classes of transformers save are converted and give the same
    tokens.
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
    other = open_llama(convert_model(folder, tmp_path / "model.gguf"))
    for text in AWKWARD:
        composed = unicodedata.normalize("NFC", text)
        assert (
            other.tokenize(composed.encode(), add_bos=False, special=True)
            == tokens(text)["input_ids"]
        ), text
    other.close()
