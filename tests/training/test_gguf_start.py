"""A GGUF file as the start of training: its weights and tokenizer are read, and an unusable file
is refused.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="needs numpy: pip install -e '.[export]'")

from finops_cli.domain.stage_names import StageName  # noqa: E402
from finops_cli.errors import UsageError  # noqa: E402
from finops_cli.models.gguf import read_head  # noqa: E402
from finops_cli.training.recipe import RecipeRequest, resolve_recipe  # noqa: E402
from finops_cli.weights.checkpoint import read_checkpoint  # noqa: E402
from finops_cli.weights.convert import ModelName, Precision, convert, plan_conversion  # noqa: E402
from finops_cli.weights.gguf_weights import open_gguf_weights, read_weights  # noqa: E402
from finops_cli.weights.gguf_writer import TensorHeader, encode_head, make_padding  # noqa: E402
from tests.support.plain_checkpoints import QWEN3, noise, write_checkpoint  # noqa: E402
from tests.support.program import ROOT  # noqa: E402


def write_gguf(folder: Path, precision: Precision, config: dict[str, object] = QWEN3) -> Path:
    planned = plan_conversion(read_checkpoint(write_checkpoint(folder, config)), None)
    convert(planned, folder / "model.gguf", precision, ModelName("tiny"), lambda done, total: None)
    return folder / "model.gguf"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_gguf_weights_are_read_back_under_their_names(
    tmp_path: Path, precision: Precision, tied: bool
) -> None:
    """Weights are read back bit for bit in float32, and rounded in float16, except for norms."""
    config = {**QWEN3, "tie_word_embeddings": tied}
    found, original = (
        read_weights(open_gguf_weights(write_gguf(tmp_path, precision, config))),
        noise(config),
    )
    assert found.keys() == original.keys()
    for name, numbers in original.items():
        kept = (
            numbers
            if precision == "f32" or "norm" in name
            else numbers.astype(np.float16).astype(np.float32)
        )
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], kept), name


Change = Callable[[dict[str, Any], dict[str, TensorHeader], dict[str, bytes]], object]


def rewrite_gguf(folder: Path, change: Change) -> Path:
    """Write a small file again after `change` of its pairs, tensors and bytes."""
    head, data = read_head(write_gguf(folder, "f32")), (folder / "model.gguf").read_bytes()
    tensors = {
        name: TensorHeader(name, each.shape, each.kind, 4 * prod(each.shape))
        for name, each in head.tensors.items()
    }
    numbers = {
        name: data[each.at : each.at + tensors[name].bytes] for name, each in head.tensors.items()
    }
    pairs = dict(head.pairs)
    change(pairs, tensors, numbers)
    body = b"".join(numbers[each.name] + make_padding(each.bytes) for each in tensors.values())
    made = folder / "made.gguf"
    made.write_bytes(encode_head(pairs, list(tensors.values())) + body)
    return made


def test_gguf_quantized_weight_is_integer_times_block_scale(
    tmp_path: Path,
) -> None:
    """A quantized weight is its integer multiplied by the scale of its block of 32."""
    draw = np.random.default_rng(5)
    scales, wholes = draw.normal(size=128).astype("<f2"), draw.integers(-128, 128, size=(128, 32))
    blocks = b"".join(
        struct.pack("<e32b", scale, *row)
        for scale, row in zip(scales.tolist(), wholes.tolist(), strict=True)
    )

    def quantized(
        pairs: object, tensors: dict[str, TensorHeader], numbers: dict[str, bytes]
    ) -> None:
        name = "blk.0.attn_q.weight"
        tensors[name], numbers[name] = tensors[name]._replace(kind=8, bytes=len(blocks)), blocks

    found = read_weights(open_gguf_weights(rewrite_gguf(tmp_path, quantized)))[
        "model.layers.0.self_attn.q_proj.weight"
    ]
    expected = (scales.astype(np.float64)[:, None] * wholes).reshape(64, 64)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, rtol=1e-6, atol=0)
    assert abs(expected).max() > 100


@pytest.mark.parametrize("name", ["tiny", "tiny" + 32 * "y"])
def test_gguf_file_with_another_alignment_is_read(tmp_path: Path, name: str) -> None:
    """A file with an alignment of 64 is read at the right places, whatever the length of
    its head.
    """
    file = rewrite_gguf(
        tmp_path,
        lambda pairs, tensors, numbers: pairs.update(
            {"general.alignment": 64, "general.name": name}
        ),
    )
    begin, data = read_head(write_gguf(tmp_path, "f32")), file.read_bytes()
    body = sum(
        4 * prod(each.shape) + len(make_padding(4 * prod(each.shape)))
        for each in begin.tensors.values()
    )
    head = data[:-body]
    file.write_bytes(head + bytes(-len(head) % 64) + data[-body:])
    found = read_weights(open_gguf_weights(file))
    assert all(np.array_equal(found[name], numbers) for name, numbers in noise(QWEN3).items())


@pytest.mark.parametrize("odd", [0, 12, "x"])
def test_gguf_file_with_an_invalid_alignment_is_refused(tmp_path: Path, odd: int | str) -> None:
    """An alignment that is not a positive multiple of 8 raises UsageError."""
    file = rewrite_gguf(
        tmp_path, lambda pairs, tensors, numbers: pairs.update({"general.alignment": odd})
    )
    with pytest.raises(UsageError, match=r"general\.alignment is .+, which is not a multiple of 8"):
        open_gguf_weights(file)


@pytest.mark.parametrize("cut", [1, 40, 5000, 160_000])
def test_gguf_file_that_is_incomplete_is_refused(tmp_path: Path, cut: int) -> None:
    """A file that was cut anywhere raises UsageError."""
    file = write_gguf(tmp_path, "f32")
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(
        UsageError,
        match=r"model\.gguf cannot be used .*: (it ends in the middle|unexpected EOF)",
    ):
        open_gguf_weights(file)


Q = "blk.0.attn_q.weight"
REFUSED: dict[str, Change] = {
    "its network is 'qwen35'": lambda pairs, tensors, numbers: pairs.update(
        {"general.architecture": "qwen35"}
    ),
    "Expected `int` <= 2147483647": lambda pairs, tensors, numbers: pairs.update(
        {"qwen3.block_count": 2**32 - 1}
    ),
    "it should have 1,000 layers, but has": lambda pairs, tensors, numbers: pairs.update(
        {"qwen3.block_count": 1000}
    ),
    "Expected `int`, got `str`": lambda pairs, tensors, numbers: pairs.update(
        {"qwen3.block_count": "2"}
    ),
    "missing required field `freq_base`": lambda pairs, tensors, numbers: pairs.pop(
        "qwen3.rope.freq_base"
    ),
    "Expected `array`, got `int`": lambda pairs, tensors, numbers: pairs.update(
        {"tokenizer.ggml.tokens": 3}
    ),
    "'blk.0.attn_q.weight' is missing, but its network needs": (
        lambda pairs, tensors, numbers: tensors.pop(Q)
    ),
    "'strange' is .* but its network needs none": lambda pairs, tensors, numbers: (
        tensors.update(strange=TensorHeader("strange", (1,), 0, 4)),
        numbers.update(strange=bytes(4)),
    ),
    r"is \(32, 128\), but its network needs \(64, 64\)": (
        lambda pairs, tensors, numbers: tensors.update({Q: tensors[Q]._replace(shape=(32, 128))})
    ),
    "attn_q.weight is stored as Q4_K": lambda pairs, tensors, numbers: tensors.update(
        {Q: tensors[Q]._replace(kind=12)}
    ),
    "attn_q.weight is stored as type 99": lambda pairs, tensors, numbers: tensors.update(
        {Q: tensors[Q]._replace(kind=99)}
    ),
    "the tensor blk.0.attn_k.weight occurs twice": lambda pairs, tensors, numbers: tensors.update(
        {Q: tensors[Q]._replace(name="blk.0.attn_k.weight")}
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_gguf_file_of_another_network_is_refused_with_fix(tmp_path: Path, message: str) -> None:
    """A file that is not a complete Qwen3 model raises UsageError with a fix."""
    file = rewrite_gguf(tmp_path, REFUSED[message])
    with pytest.raises(
        UsageError,
        match=rf"made\.gguf cannot be used as a starting point: .*({message})",
    ) as refused:
        open_gguf_weights(file)
    assert refused.value.cure.startswith("give a Qwen3 file")


def test_file_that_is_not_gguf_is_refused_as_start(tmp_path: Path) -> None:
    """Another format, a missing file and a pipe raise UsageError, the pipe without waiting."""
    file = tmp_path / "other.gguf"
    file.write_bytes(b"no model at all")
    with pytest.raises(
        UsageError, match=r"other\.gguf cannot be used as a starting point: invalid file magic"
    ):
        open_gguf_weights(file)
    os.mkfifo(tmp_path / "pipe.gguf")  # nobody writes: who opened it would wait for ever
    for name in ("absent.gguf", "pipe.gguf"):
        with pytest.raises(UsageError, match=rf"{name}: no such GGUF file$"):
            open_gguf_weights(tmp_path / name)
    with pytest.raises(
        UsageError,
        match=r"absent\.gguf: no such GGUF file in /.+; paths of a recipe are relative",
    ):
        open_gguf_weights(Path("absent.gguf"))


def test_gguf_weight_that_is_nan_is_refused(tmp_path: Path) -> None:
    """A weight that is NaN or infinite raises UsageError with its name."""

    def spoilt(pairs: object, tensors: object, numbers: dict[str, bytes]) -> None:
        numbers[Q] = struct.pack("<f", float("nan")) + numbers[Q][4:]

    with pytest.raises(
        UsageError,
        match=(r"made\.gguf: model\.layers\.0\.self_attn\.q_proj\.weight contains NaN or infinity"),
    ):
        read_weights(open_gguf_weights(rewrite_gguf(tmp_path, spoilt)))


def test_gguf_head_has_the_offset_of_each_tensor(tmp_path: Path) -> None:
    """Tensors follow each other at multiples of 32 after the head, to the end of the file."""
    file = write_gguf(tmp_path, "f16")
    head, at = read_head(file), None
    for tensor in head.tensors.values():
        size = int(np.prod(tensor.shape)) * (4 if tensor.kind == 0 else 2)
        assert at in (None, tensor.at)
        assert tensor.at % 32 == 0
        at = tensor.at + size + len(make_padding(size))
    assert at == file.stat().st_size
    assert sum(head.kinds.values()) == len(head.tensors)


def test_gguf_tokenizer_equals_that_of_the_training_record() -> None:
    """The tokenizer in each phase 1 file has the digests of its training record."""
    pytest.importorskip("transformers", reason="needs transformers: pip install -e '.[train]'")
    from finops_cli.training.data.tokenizer import digest_tokenizer, open_tokenizer

    stages: tuple[StageName, ...] = ("triage", "resolver")
    for stage in stages:
        file = ROOT / "training/continue" / f"tiny-{stage}.gguf"
        from_file = {"tokenizer": str(file), "vocabulary": None}
        base = resolve_recipe(RecipeRequest(stage, "tiny-cpu", None, [])).settings.base
        tokenizer = open_tokenizer(base.model_copy(update=from_file), ())
        made_from = json.loads((file.parent / f"tiny-{stage}.run.json").read_bytes())["made_from"]
        assert digest_tokenizer(tokenizer) == (
            made_from["tokenizer_sha256"],
            made_from["template_sha256"],
        )
