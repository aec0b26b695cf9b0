"""Tensors in a GGUF file: their order, their rounding, the added adapter, and the memory that a
conversion needs.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="needs numpy: pip install -e '.[export]'")

from finops_cli.domain.stage_names import StageName  # noqa: E402
from finops_cli.errors import UsageError  # noqa: E402
from finops_cli.kb.load import bundled_dir  # noqa: E402
from finops_cli.models.gguf import read_head  # noqa: E402
from finops_cli.models.modelfile import read_modelfile  # noqa: E402
from finops_cli.quantization.request import make_file_name, make_model_name  # noqa: E402
from finops_cli.weights.architecture import read_architecture  # noqa: E402
from finops_cli.weights.checkpoint import read_checkpoint  # noqa: E402
from finops_cli.weights.convert import (  # noqa: E402
    Conversion,
    ModelName,
    Precision,
    convert,
    plan_conversion,
    read_blocks,
)
from finops_cli.weights.lora import read_adapter  # noqa: E402
from finops_cli.weights.tensor_map import list_tensors  # noqa: E402
from tests.support.plain_checkpoints import (  # noqa: E402
    LORA,
    QWEN3,
    QWEN35,
    noise,
    write_adapter,
    write_checkpoint,
)

Q_PROJ = "model.layers.0.self_attn.q_proj"


def plan_model(folder: Path, adapter: Path | None = None) -> Conversion:
    return plan_conversion(read_checkpoint(folder), read_adapter(adapter) if adapter else None)


def write_model(folder: Path, precision: Precision, adapter: Path | None = None) -> bytes:
    convert(
        plan_model(folder, adapter),
        folder / "model.gguf",
        precision,
        ModelName("tiny"),
        lambda done, total: None,
    )
    return (folder / "model.gguf").read_bytes()


def read_rows(folder: Path, name: str, adapter: Path | None = None) -> Any:
    """Return a tensor as the file has it, joined from its blocks."""
    conversion = plan_model(folder, adapter)
    [tensor] = [each for each in conversion.tensors if each.name == name]
    pair = conversion.adapter.pairs.get(tensor.source) if conversion.adapter else None
    return np.concatenate(
        list(read_blocks(conversion.checkpoint.tensors[tensor.source], tensor, pair))
    )


REAL: list[tuple[StageName, dict[str, Any], int]] = [
    (
        "resolver",
        QWEN3
        | {
            "num_hidden_layers": 36,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151_936,
        },
        8_190_735_360,
    ),
    (
        "triage",
        QWEN35
        | {
            "num_hidden_layers": 32,
            "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 248_320,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 32,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
        },
        8_953_803_264,
    ),
]


@pytest.mark.parametrize(("stage", "config", "parameters"), REAL)
def test_published_models_have_their_size_and_file_name(
    stage: StageName, config: dict[str, Any], parameters: int
) -> None:
    """The tensors of Qwen3-8B and Qwen3.5-9B add up to the published size, and their file name is
    the one in the Modelfile.
    """
    network = read_architecture(config, Path("config.json"))
    assert sum(int(np.prod(tensor.shape)) for tensor in list_tensors(network)) == parameters
    [base] = read_modelfile(bundled_dir("modelfiles") / f"{stage}.Modelfile").bases
    assert base == f"./{make_file_name(make_model_name(stage, network.name, parameters), 'q4_k_m')}"


def test_model_name_has_stage_family_and_size() -> None:
    """A model name has the stage, the family and the rounded number of parameters."""
    assert make_model_name("triage", "qwen3", 2_570_000) == "finops-triage-qwen3-3m"
    assert make_model_name("resolver", "qwen35", 601_472) == "finops-resolver-qwen3.5-601k"


def test_value_heads_are_reordered_for_llama_cpp(tmp_path: Path) -> None:
    """Value heads are reordered from 0 1 2 3 to 0 2 1 3, in rows, in columns and behind queries and
    keys.
    """
    tensors = noise(QWEN35)
    layer = "model.layers.0.linear_attn."
    size, keys = QWEN35["linear_key_head_dim"], 2 * 2 * QWEN35["linear_key_head_dim"]
    marks = np.repeat(np.arange(4, dtype=np.float32), size)
    tiles = np.repeat(np.array([0, 2, 1, 3], np.float32), size)
    tensors[f"{layer}in_proj_z.weight"][:] = marks[:, None]
    tensors[f"{layer}in_proj_qkv.weight"][:] = np.concatenate(
        [np.full(keys, 9, np.float32), marks]
    )[:, None]
    tensors[f"{layer}out_proj.weight"][:] = marks
    tensors[f"{layer}dt_bias"][:] = np.arange(4)
    tensors[f"{layer}A_log"][:] = np.arange(4)
    folder = write_checkpoint(tmp_path, QWEN35, tensors)
    assert (read_rows(folder, "blk.0.attn_gate.weight")[:, 0] == tiles).all()
    assert (
        read_rows(folder, "blk.0.attn_qkv.weight")[:, 0]
        == np.concatenate([np.full(keys, 9), tiles])
    ).all()
    assert (read_rows(folder, "blk.0.ssm_out.weight")[0] == tiles).all()
    assert (read_rows(folder, "blk.0.ssm_dt.bias") == [0, 2, 1, 3]).all()
    assert (
        read_rows(folder, "blk.0.ssm_a")
        == -np.exp(np.array([0.0, 2.0, 1.0, 3.0])).astype(np.float32)
    ).all()


def test_norms_are_shifted_by_one_in_qwen35_only(tmp_path: Path) -> None:
    """Norms of Qwen3.5 are stored as distance from one and are shifted, except after a linear
    attention. Norms of Qwen3 stay.
    """
    for config, moved in ((QWEN3, 0), (QWEN35, 1)):
        tensors = noise(config)
        folder = write_checkpoint(tmp_path / str(moved), config, tensors)
        expected = tensors["model.norm.weight"] + np.float32(moved)
        assert (read_rows(folder, "output_norm.weight") == expected).all()
    assert (
        read_rows(folder, "blk.0.ssm_norm.weight")
        == tensors["model.layers.0.linear_attn.norm.weight"]
    ).all()


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_tensor_values_are_rounded_half_to_even(precision: Precision, tmp_path: Path) -> None:
    """Values are rounded to the nearest, ties to even. A bfloat16 checkpoint stays bit for bit in a
    bf16 file.
    """
    tensors = noise(QWEN3)
    name = "model.layers.0.mlp.gate_proj.weight"
    values = [
        1.0,
        -1.0,
        1 + 2**-8,
        1 + 3 * 2**-8,
        1 + 2**-11,
        1 + 3 * 2**-11,
        2**-24,
        1e-30,
        3.0e38 if precision != "f16" else 6e4,
    ]
    tensors[name][0, : len(values)] = np.array(values, np.float32)
    bits = (tensors["lm_head.weight"].view(np.uint32) >> 16).astype(np.uint16)
    tensors["lm_head.weight"] = bits
    made = write_model(write_checkpoint(tmp_path, QWEN3, tensors), precision)
    gate = tensors[name]
    if precision == "bf16":
        upper = np.array(
            [0x3F80, 0xBF80, 0x3F80, 0x3F82, 0x3F80, 0x3F80, 0x3380, 0x0DA2, 0x7F62], np.uint16
        )
        assert upper.tobytes() in made
        assert bits.tobytes() in made
    else:
        assert gate.astype(np.float32 if precision == "f32" else np.float16).tobytes() in made
    assert read_head(tmp_path / "model.gguf").kinds[precision.upper()] == (
        25 if precision == "f32" else 16
    )


def test_adapter_is_added_with_its_scale(tmp_path: Path) -> None:
    """An adapter adds alpha / r * B A, or alpha / sqrt(r) * B A with rslora. Other tensors stay."""
    tensors = noise(QWEN3)
    folder = write_checkpoint(tmp_path / "model", QWEN3, tensors)
    for settings, scale in ((LORA, 2.0), (LORA | {"use_rslora": True}, 4.0)):
        adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)}, settings)
        pair = read_adapter(adapter).pairs[f"{Q_PROJ}.weight"]
        a, b = pair.a.stored().astype(np.float64), pair.b.stored().astype(np.float64)
        merged = read_rows(folder, "blk.0.attn_q.weight", adapter)
        assert np.abs(merged - (tensors[f"{Q_PROJ}.weight"] + scale * (b @ a))).max() < 1e-5
        assert (
            read_rows(folder, "blk.1.attn_q.weight", adapter)
            == tensors["model.layers.1.self_attn.q_proj.weight"]
        ).all()


def test_adapter_is_added_before_heads_are_reordered(tmp_path: Path) -> None:
    """A conversion with an adapter equals the conversion of the merged model, also for reordered
    heads.
    """
    tensors = noise(QWEN35)
    folder = write_checkpoint(tmp_path / "model", QWEN35, tensors)
    layer = "model.layers.0.linear_attn."
    shapes = {
        f"{layer}in_proj_qkv": (128, 64),
        f"{layer}out_proj": (64, 64),
        f"{layer}in_proj_a": (4, 64),
    }
    adapter = write_adapter(tmp_path / "adapter", shapes)
    for module in shapes:
        pair = read_adapter(adapter).pairs[f"{module}.weight"]
        tensors[f"{module}.weight"] += np.float32(2) * (pair.b.stored() @ pair.a.stored())
    merged = write_checkpoint(tmp_path / "merged", QWEN35, tensors)
    for name in ("blk.0.attn_qkv.weight", "blk.0.ssm_out.weight", "blk.0.ssm_alpha.weight"):
        assert np.abs(read_rows(folder, name, adapter) - read_rows(merged, name)).max() < 1e-5


@pytest.mark.slow
def test_conversion_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A model of four times the size, with an adapter on its largest matrix, needs hardly more
    memory.
    """
    peaks = []
    for width in (256, 1024):
        config = QWEN3 | {"hidden_size": width, "intermediate_size": 2048, "vocab_size": 4000}
        folder = write_checkpoint(tmp_path / f"{width}", config)
        module = "model.layers.0.mlp.gate_proj"
        conversion = plan_model(folder, write_adapter(folder / "adapter", {module: (2048, width)}))
        tracemalloc.start()
        convert(
            conversion, folder / "model.gguf", "f16", ModelName("tiny"), lambda done, total: None
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (folder / "model.gguf").stat().st_size > 5_000_000
    assert max(peaks) < 8_000_000
    assert peaks[1] < 1.5 * peaks[0]


def test_interrupted_conversion_keeps_the_old_file(tmp_path: Path) -> None:
    """Ctrl-C during a conversion keeps the old file and leaves no part of a new one."""
    folder = write_checkpoint(tmp_path)
    before = write_model(folder, "f16")

    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(plan_model(folder), folder / "model.gguf", "f32", ModelName("tiny"), interrupt)
    assert (folder / "model.gguf").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir() if "gguf" in path.name) == ["model.gguf"]


def test_equal_checkpoints_give_identical_files(tmp_path: Path) -> None:
    """Equal checkpoints in different folders give identical files, other weights another file, and
    a tied model a smaller one.
    """
    adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)})
    first, second = (
        write_model(write_checkpoint(tmp_path / name), "f16", adapter) for name in ("one", "two")
    )
    assert first == second
    assert (
        write_model(
            write_checkpoint(tmp_path / "three", QWEN3, noise(QWEN3, seed=9)), "f16", adapter
        )
        != first
    )
    tied = write_checkpoint(tmp_path / "tied", QWEN3 | {"tie_word_embeddings": True}, noise(QWEN3))
    assert len(write_model(tied, "f16", adapter)) < len(first) - 2 * 400 * 64


def test_checkpoint_of_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A missing folder and a folder without config.json raise UsageError."""
    with pytest.raises(UsageError, match="no such folder"):
        read_checkpoint(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"config\.json: no such file"):
        read_checkpoint(tmp_path)
