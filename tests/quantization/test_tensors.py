"""The numbers on their way into a GGUF file: which stands where, how it is rounded, what an adapter
adds, in how little memory.
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


def planned(folder: Path, adapter: Path | None = None) -> Conversion:
    return plan_conversion(read_checkpoint(folder), read_adapter(adapter) if adapter else None)


def written(folder: Path, precision: Precision, adapter: Path | None = None) -> bytes:
    convert(
        planned(folder, adapter),
        folder / "model.gguf",
        precision,
        ModelName("tiny"),
        lambda done, total: None,
    )
    return (folder / "model.gguf").read_bytes()


def rows_of(folder: Path, name: str, adapter: Path | None = None) -> Any:
    """A tensor as it goes into the file, put together from its blocks."""
    conversion = planned(folder, adapter)
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
def test_the_published_models_have_their_size_and_name(
    stage: StageName, config: dict[str, Any], parameters: int
) -> None:
    """The tensors of Qwen3-8B and Qwen3.5-9B add up to what transformers counts, and `finops
    create` finds the file.
    """
    network = read_architecture(config, Path("config.json"))
    assert sum(int(np.prod(tensor.shape)) for tensor in list_tensors(network)) == parameters
    [base] = read_modelfile(bundled_dir("modelfiles") / f"{stage}.Modelfile").bases
    assert base == f"./{make_file_name(make_model_name(stage, network.name, parameters), 'q4_k_m')}"


def test_names_tell_the_size() -> None:
    assert make_model_name("triage", "qwen3", 2_570_000) == "finops-triage-qwen3-3m"
    assert make_model_name("resolver", "qwen35", 601_472) == "finops-resolver-qwen3.5-601k"


def test_value_heads_are_put_as_tiles(tmp_path: Path) -> None:
    """Heads k0v0 k0v1 k1v0 k1v1, marked 0 to 3, become 0 2 1 3: in rows, in columns, and behind the
    queries and keys.
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
    assert (rows_of(folder, "blk.0.attn_gate.weight")[:, 0] == tiles).all()
    assert (
        rows_of(folder, "blk.0.attn_qkv.weight")[:, 0] == np.concatenate([np.full(keys, 9), tiles])
    ).all()
    assert (rows_of(folder, "blk.0.ssm_out.weight")[0] == tiles).all()
    assert (rows_of(folder, "blk.0.ssm_dt.bias") == [0, 2, 1, 3]).all()
    assert (
        rows_of(folder, "blk.0.ssm_a") == -np.exp(np.array([0.0, 2.0, 1.0, 3.0])).astype(np.float32)
    ).all()


def test_norms_are_moved_in_qwen35_alone(tmp_path: Path) -> None:
    """Qwen3.5 stores a norm's distance from one, except behind a linear attention; Qwen3 stores the
    norm.
    """
    for config, moved in ((QWEN3, 0), (QWEN35, 1)):
        tensors = noise(config)
        folder = write_checkpoint(tmp_path / str(moved), config, tensors)
        expected = tensors["model.norm.weight"] + np.float32(moved)
        assert (rows_of(folder, "output_norm.weight") == expected).all()
    assert (
        rows_of(folder, "blk.0.ssm_norm.weight")
        == tensors["model.layers.0.linear_attn.norm.weight"]
    ).all()


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_numbers_are_rounded_to_the_nearest(precision: Precision, tmp_path: Path) -> None:
    """Ties to even; what the checkpoint holds in bfloat16 comes out of a bf16 file bit for bit."""
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
    made = written(write_checkpoint(tmp_path, QWEN3, tensors), precision)
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


def test_an_adapter_is_added_as_it_is_defined(tmp_path: Path) -> None:
    """W + alpha / r * B A, with alpha / sqrt(r) where the adapter says so; what it does not name
    stays.
    """
    tensors = noise(QWEN3)
    folder = write_checkpoint(tmp_path / "model", QWEN3, tensors)
    for settings, scale in ((LORA, 2.0), (LORA | {"use_rslora": True}, 4.0)):
        adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)}, settings)
        pair = read_adapter(adapter).pairs[f"{Q_PROJ}.weight"]
        a, b = pair.a.stored().astype(np.float64), pair.b.stored().astype(np.float64)
        merged = rows_of(folder, "blk.0.attn_q.weight", adapter)
        assert np.abs(merged - (tensors[f"{Q_PROJ}.weight"] + scale * (b @ a))).max() < 1e-5
        assert (
            rows_of(folder, "blk.1.attn_q.weight", adapter)
            == tensors["model.layers.1.self_attn.q_proj.weight"]
        ).all()


def test_an_adapter_reaches_rows_and_columns_that_are_moved(tmp_path: Path) -> None:
    """It is added before the heads are put in their order: the same as when the merged model is
    converted.
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
        assert np.abs(rows_of(folder, name, adapter) - rows_of(merged, name)).max() < 1e-5


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A few rows at a time: a model of four times the size, with an adapter over its largest
    matrix, takes no more memory.
    """
    peaks = []
    for width in (256, 1024):
        config = QWEN3 | {"hidden_size": width, "intermediate_size": 2048, "vocab_size": 4000}
        folder = write_checkpoint(tmp_path / f"{width}", config)
        module = "model.layers.0.mlp.gate_proj"
        conversion = planned(folder, write_adapter(folder / "adapter", {module: (2048, width)}))
        tracemalloc.start()
        convert(
            conversion, folder / "model.gguf", "f16", ModelName("tiny"), lambda done, total: None
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (folder / "model.gguf").stat().st_size > 5_000_000
    assert max(peaks) < 8_000_000
    assert peaks[1] < 1.5 * peaks[0]


def test_an_interrupted_conversion_leaves_what_was_there(tmp_path: Path) -> None:
    """Ctrl-C in the middle: the file of before stands, and no part of the new one."""
    folder = write_checkpoint(tmp_path)
    before = written(folder, "f16")

    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(planned(folder), folder / "model.gguf", "f32", ModelName("tiny"), interrupt)
    assert (folder / "model.gguf").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir() if "gguf" in path.name) == ["model.gguf"]


def test_equal_checkpoints_give_equal_files(tmp_path: Path) -> None:
    """Wherever they lie; a tied model has one matrix fewer; a seed makes another file."""
    adapter = write_adapter(tmp_path / "adapter", {Q_PROJ: (64, 64)})
    first, second = (
        written(write_checkpoint(tmp_path / name), "f16", adapter) for name in ("one", "two")
    )
    assert first == second
    assert (
        written(write_checkpoint(tmp_path / "three", QWEN3, noise(QWEN3, seed=9)), "f16", adapter)
        != first
    )
    tied = write_checkpoint(tmp_path / "tied", QWEN3 | {"tie_word_embeddings": True}, noise(QWEN3))
    assert len(written(tied, "f16", adapter)) < len(first) - 2 * 400 * 64


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_checkpoint(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"config\.json: no such file"):
        read_checkpoint(tmp_path)
