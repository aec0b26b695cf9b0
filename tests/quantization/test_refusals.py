"""Checkpoints that `finops quantize` does not convert: each is refused with a message and a fix,
before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="needs numpy: pip install -e '.[export]'")

from finops_cli.errors import UsageError  # noqa: E402
from finops_cli.weights.checkpoint import read_checkpoint  # noqa: E402
from finops_cli.weights.convert import ModelName, convert, plan_conversion  # noqa: E402
from finops_cli.weights.lora import read_adapter  # noqa: E402
from finops_cli.weights.safetensors import read_tensors  # noqa: E402
from tests.support.plain_checkpoints import (  # noqa: E402
    LORA,
    QWEN3,
    QWEN35,
    noise,
    plain_tokenizer,
    write_adapter,
    write_checkpoint,
    write_safetensors,
)

Q_PROJ = "model.layers.0.self_attn.q_proj"
NORM = "model.norm.weight"


def convert_model(folder: Path, adapter: Path | None) -> None:
    planned = plan_conversion(read_checkpoint(folder), read_adapter(adapter) if adapter else None)
    convert(planned, folder / "model.gguf", "f16", ModelName("tiny"), lambda done, total: None)


def expect_refusal(folder: Path, message: str, adapter: Path | None = None) -> None:
    with pytest.raises(UsageError) as caught:
        convert_model(folder, adapter)
    assert message in caught.value.one_line()
    assert not list(folder.glob("model.gguf*"))


@pytest.mark.parametrize("config", [QWEN3, QWEN35])
def test_valid_checkpoint_with_adapter_is_converted(config: dict[str, Any], tmp_path: Path) -> None:
    """The checkpoints of this module are converted without their faults, also with an adapter."""
    folder = write_checkpoint(tmp_path, config)
    layer = config["num_hidden_layers"] - 1
    rows = 64 if config is QWEN3 else 128  # beside each query of Qwen3.5 there is a gate
    adapter = write_adapter(
        tmp_path / "adapter", {f"model.layers.{layer}.self_attn.q_proj": (rows, 64)}
    )
    convert_model(folder, adapter)
    assert (folder / "model.gguf").stat().st_size > plan_conversion(
        read_checkpoint(folder), None
    ).bytes("f16")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            QWEN3 | {"architectures": ["GemmaForCausalLM"]},
            "GemmaForCausalLM is not supported. Expected one of: Qwen3ForCausalLM,",
        ),
        (
            QWEN3
            | {"architectures": ["MistralForCausalLM"], "sliding_window": 8}
            | {"max_position_embeddings": 512},
            "sliding_window is 8",
        ),
        (QWEN3 | {"architectures": None}, "no architecture"),
        (QWEN3 | {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantized model"),
        (QWEN3 | {"text_config": {"quantization_config": {"bits": 4}}}, "quantized model"),
        (QWEN3 | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling 'yarn'"),
        (
            QWEN3 | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}},
            "rope scaling 'linear'",
        ),
        (QWEN3 | {"rope_scaling": {"type": "dynamic"}}, "rope scaling 'dynamic'"),
        (QWEN3 | {"rope_theta": None}, "rope_theta is None"),
        (QWEN3 | {"rope_theta": 10**400}, f"rope_theta is 1{'0' * 39}. Expected a number above 0"),
        (QWEN3 | {"rope_parameters": [1]}, "rope_parameters is [1]"),
        (
            QWEN3 | {"num_hidden_layers": 10**9},
            "num_hidden_layers is 1,000,000,000; the weights are",
        ),
        (QWEN3 | {"num_hidden_layers": 10**18}, "`int` <= 2147483647"),
        (QWEN3 | {"max_position_embeddings": 2**40}, "`int` <= 2147483647"),
        (QWEN3 | {"num_key_value_heads": 0}, "`int` >= 1"),
        (QWEN3 | {"rms_norm_eps": 0}, "rms_norm_eps"),
        (
            QWEN35 | {"num_hidden_layers": 10**9},
            "layer_types has 4 layers; num_hidden_layers is 1,000,000,000",
        ),
        (
            QWEN35 | {"rope_parameters": {"rope_theta": 1e6, "partial_rotary_factor": "x"}},
            "partial_rotary_factor is 'x'",
        ),
        (QWEN3 | {"attention_bias": True}, "attention_bias is True"),
        (QWEN3 | {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        (QWEN3 | {"use_sliding_window": True}, "use_sliding_window is True"),
        (
            QWEN3 | {"layer_types": ["full_attention", "sliding_attention"]},
            "needs full_attention in every layer",
        ),
        (QWEN3 | {"head_dim": "64"}, "head_dim"),
        ({key: value for key, value in QWEN3.items() if key != "hidden_size"}, "hidden_size"),
        (QWEN35 | {"layer_types": ["linear_attention"] * 4}, "regular interval"),
        (
            QWEN35
            | {"layer_types": ["linear_attention", "full_attention"] + ["linear_attention"] * 2},
            "regular interval",
        ),
        (QWEN35 | {"linear_value_head_dim": 32}, "differ; llama.cpp does not support that"),
        (QWEN35 | {"linear_num_value_heads": 3}, "not a multiple"),
        (QWEN35 | {"attn_output_gate": False}, "attn_output_gate is False"),
        (
            QWEN35 | {"rope_parameters": {"rope_theta": 1e6, "mrope_interleaved": False}},
            "mrope_interleaved",
        ),
        (
            QWEN35 | {"rope_parameters": {"rope_theta": 1e6, "mrope_section": [1] * 5}},
            "mrope_section",
        ),
    ],
)
def test_checkpoint_of_another_network_is_refused(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A config of another network, or one that llama.cpp would compute differently, is refused."""
    base = QWEN35 if "linear_num_key_heads" in config else QWEN3
    write_checkpoint(tmp_path, base)
    (tmp_path / "config.json").write_text(json.dumps(config))
    expect_refusal(tmp_path, message)


def drop_tensor(tensors: dict[str, Any]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def add_bias(tensors: dict[str, Any]) -> None:
    tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(64, np.float32)


def change_shape(tensors: dict[str, Any]) -> None:
    tensors[NORM] = np.zeros(63, np.float32)


def store_twice(tensors: dict[str, Any]) -> None:
    tensors["model.language_model.norm.weight"] = tensors[NORM]


def store_as_bytes(tensors: dict[str, Any]) -> None:
    tensors[f"{Q_PROJ}.weight"] = np.zeros((64, 64), np.uint8)


def set_nan(tensors: dict[str, Any]) -> None:
    tensors[f"{Q_PROJ}.weight"][3, 4] = np.nan


def set_too_large(tensors: dict[str, Any]) -> None:
    tensors[f"{Q_PROJ}.weight"][63, 63] = 70_000


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_tensor, "model.layers.1.mlp.up_proj.weight is missing; 1 tensor is missing"),
        (add_bias, "q_proj.bias is not a tensor of qwen3"),
        (change_shape, "has the shape (63,); config.json makes it (64,)"),
        (store_twice, "is stored twice"),
        (store_as_bytes, "is stored as U8"),
        (set_nan, "contains NaN or infinity; the training diverged"),
        (set_too_large, "too large for f16"),
    ],
)
def test_checkpoint_with_wrong_tensors_is_refused(
    spoil: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    """A missing, extra, repeated, misshapen or invalid tensor is refused."""
    tensors = noise(QWEN3)
    spoil(tensors)
    expect_refusal(write_checkpoint(tmp_path, QWEN3, tensors), message)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("a", [2**62] * 200_000, "a has 200,000 dimensions. Expected at most 8."),
        ("a", [10**4000] * 8, "a has 0 bytes, which does not fit its shape (1000"),
        ("a" * 1_000_000, [2] * 9, "aaa has 9 dimensions"),
        ("a" * 1_000_000, [2], "aaa has 0 bytes"),
    ],
)
def test_tensor_of_a_hostile_shape_is_refused_in_few_words(
    name: str, shape: list[int], message: str, tmp_path: Path
) -> None:
    """A shape of many or of huge dimensions is not multiplied out, nor is it or a long name
    repeated in the message.
    """
    file = tmp_path / "model.safetensors"
    head = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(UsageError) as refused:
        read_tensors(file)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(file))


def test_damaged_checkpoint_file_is_refused(tmp_path: Path) -> None:
    """An incomplete file, a wrong length, another format and an index with missing files are
    refused.
    """
    folder = write_checkpoint(tmp_path)
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for damaged, message in (
        (whole[:-100], "is outside the file"),
        (b"\xff" * 8 + whole[8:], "is not a complete safetensors file"),
        (b"", "is not a complete safetensors file"),
        (whole.replace(b'"F32"', b'"F16"', 1), "does not fit its shape"),
        (whole.replace(b'"__metadata__"', b'"__metadata_"', 1), "its head cannot be read"),
    ):
        file.write_bytes(damaged)
        expect_refusal(folder, message)
    file.rename(folder / "model-1.safetensors")
    expect_refusal(folder, "has neither model.safetensors nor")
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps(
            {"weight_map": {NORM: "model-1.safetensors", "lm_head.weight": "model-2.safetensors"}}
        )
    )
    expect_refusal(folder, "model-2.safetensors is missing")
    index.write_text(json.dumps({"weight_map": {NORM: "../model-1.safetensors"}}))
    expect_refusal(folder, "another folder")
    (folder / "model-1.safetensors").write_bytes(whole)
    index.write_text(json.dumps({"weight_map": {NORM: "model-1.safetensors"}}))
    expect_refusal(folder, "lm_head.weight should be in no file")
    file.write_bytes(whole)
    expect_refusal(folder, "delete the one that is out of date")


def tokenizer_with(path: str, value: object) -> dict[str, Any]:
    tokenizer = plain_tokenizer()
    place: Any = tokenizer
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        place = place[step]
    place[last] = value
    return tokenizer


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model/type", "Unigram", "model/type"),
        ("model/byte_fallback", True, "model/byte_fallback"),
        ("model/ignore_merges", True, "model/ignore_merges"),
        ("model/merges", [], "model/merges"),
        ("normalizer/type", "Lowercase", "normalizer Lowercase"),
        ("post_processor/type", "TemplateProcessing", "adds tokens"),
        (
            "post_processor",
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]},
            "adds tokens",
        ),
        (
            "post_processor",
            {"type": "Sequence", "processors": [{"type": "RobertaProcessing"}]},
            "adds tokens",
        ),
        (
            "post_processor",
            {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]},
            "",
        ),
        ("post_processor", {"type": "Sequence", "processors": [{"type": "ByteLevel"}]}, ""),
        ("post_processor", None, ""),
        (
            "pre_tokenizer/pretokenizers/0/pattern/Regex",
            r"\d{1,3}",
            "split by an unsupported pattern",
        ),
        ("pre_tokenizer/pretokenizers/1/add_prefix_space", True, "split by an unsupported pattern"),
        ("added_tokens/0/lstrip", True, "includes spaces"),
        ("added_tokens/2/special", False, ""),
        ("added_tokens/4/id", 400, "do not belong together"),
        ("added_tokens/4/content", "<think>", "two tokens have the same text"),
    ],
)
def test_tokenizer_that_llama_cpp_cannot_copy_is_refused(
    path: str, value: object, message: str, tmp_path: Path
) -> None:
    """A tokenizer that llama.cpp would split differently is refused. `<|im_end|>` counts as special
    in any form.
    """
    folder = write_checkpoint(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_with(path, value)))
    if message:
        expect_refusal(folder, message)
    else:
        assert plan_conversion(read_checkpoint(folder), None).tokenizer[
            "tokenizer.ggml.eos_token_id"
        ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pad_token": "<|endoftext|>"}, "no special token ends an answer"),
        ({"eos_token": "<think>"}, "no special token ends an answer"),
        (
            {"eos_token": "<|im_end|>", "pad_token": {"content": "<|im_end|>"}},
            "did not learn to stop",
        ),
    ],
)
def test_model_without_an_end_token_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A model whose special tokens do not end an answer, or that did not learn to stop, is
    refused.
    """
    folder = write_checkpoint(tmp_path)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    expect_refusal(folder, message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is ['lm_head']"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"of_a_future_version": {"a": 1}}, "of_a_future_version"),
        ({"r": 8}, "the rank is 8"),
        ({"r": 0}, "r is 0"),
    ],
)
def test_adapter_with_unsupported_settings_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """An adapter that changes more than a product of two matrices is refused."""
    folder = write_checkpoint(tmp_path / "model")
    adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)})
    (adapter / "adapter_config.json").write_text(json.dumps(LORA | settings))
    expect_refusal(folder, message, adapter)


def test_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    """An adapter with another shape, an unknown layer, half a pair, extra tensors or no weights is
    refused.
    """
    folder = write_checkpoint(tmp_path / "model")
    for number, (module, shape, message) in enumerate(
        (
            (Q_PROJ, (64, 32), "the shape (64, 32), but its shape is (64, 64)"),
            ("model.layers.7.self_attn.q_proj", (64, 64), "not a matrix of this network"),
            ("model.embed_tokens", (400, 64), "not a matrix of this network"),
            ("model.norm", (64, 64), "not a matrix of this network"),
        )
    ):
        expect_refusal(
            folder, message, write_adapter(tmp_path / f"adapter{number}", {module: shape})
        )
    adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)})
    weights = adapter / "adapter_model.safetensors"
    half = np.zeros((4, 64), np.float32)
    write_safetensors(weights, {f"base_model.model.{Q_PROJ}.lora_A.weight": half})
    expect_refusal(folder, "has only lora_A", adapter)
    write_safetensors(weights, {"base_model.model.model.embed_tokens.lora_embedding_A": half})
    expect_refusal(folder, "not part of a plain LoRA", adapter)
    write_safetensors(weights, {})
    expect_refusal(folder, "changes nothing", adapter)
    weights.unlink()
    expect_refusal(folder, "save the adapter as safetensors", adapter)
    expect_refusal(folder, "no such folder", tmp_path / "absent")
