"""A GGUF file as the beginning of a training: its weights by their old names, and its tokenizer; what is none is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from msgspec.structs import replace

np = pytest.importorskip("numpy", reason="needs numpy: pip install 'finops[export]'")

from finops_cli.errors import UsageError  # noqa: E402
from finops_cli.foundry.rows import Stage  # noqa: E402
from finops_cli.foundry.training.recipe import Chosen, resolve  # noqa: E402
from finops_cli.foundry.weights.checkpoint import read_checkpoint  # noqa: E402
from finops_cli.foundry.weights.convert import Named, Precision, convert, plan_conversion  # noqa: E402
from finops_cli.foundry.weights.reopened import weights_in  # noqa: E402
from finops_cli.models.gguf import Stored, head_bytes, padding, read_head  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.plain_checkpoints import QWEN3, QWEN35, noise, write_checkpoint  # noqa: E402

SETTINGS = {
    "general.architecture": "qwen3",
    "qwen3.block_count": 1,
    "qwen3.embedding_length": 64,
    "qwen3.feed_forward_length": 64,
    "qwen3.attention.head_count": 2,
    "qwen3.attention.head_count_kv": 1,
    "qwen3.attention.key_length": 32,
    "qwen3.context_length": 64,
    "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
    "qwen3.rope.freq_base": 1e6,
    "tokenizer.ggml.tokens": ["a", "b"],
}
"""The head of a file, as far as the names of its tensors follow from it."""


def written(folder: Path, precision: Precision, config: dict[str, object] = QWEN3) -> Path:
    planned = plan_conversion(read_checkpoint(write_checkpoint(folder, config)), None)
    convert(planned, folder / "model.gguf", precision, Named("tiny"), lambda done, total: None)
    return folder / "model.gguf"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_what_was_written_comes_back_under_its_names(tmp_path: Path, precision: Precision, tied: bool) -> None:
    """In float32 to the bit; in float16 what is left of a number there. Norms stay in float32 in either."""
    config = {**QWEN3, "tie_word_embeddings": tied}
    found, given = weights_in(written(tmp_path, precision, config)), noise(config)
    assert found.keys() == given.keys()
    for name, numbers in given.items():
        kept = numbers if precision == "f32" or "norm" in name else numbers.astype(np.float16).astype(np.float32)
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], kept), name


def test_a_quantized_number_is_its_whole_number_times_the_scale_of_its_block(tmp_path: Path) -> None:
    """Two rows of two blocks of 32, each block with a scale of its own."""
    scales, wholes = [0.5, 2.0, -0.25, 0.0], np.arange(-64, 64).reshape(4, 32)
    blocks = b"".join(struct.pack("<e32b", scale, *row) for scale, row in zip(scales, wholes.tolist(), strict=True))
    file = tmp_path / "q.gguf"
    head = head_bytes(SETTINGS, [Stored("token_embd.weight", (2, 64), 8, len(blocks))])
    file.write_bytes(head + blocks + padding(len(blocks)))
    expected = (np.array(scales)[:, None] * wholes).reshape(2, 64)
    assert np.array_equal(weights_in(file)["model.embed_tokens.weight"], expected)


@pytest.mark.parametrize("cut", [1, 40, 5000])
def test_a_torn_file_is_refused(tmp_path: Path, cut: int) -> None:
    file = written(tmp_path, "f32")
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(UsageError, match=r"model\.gguf: is not a whole Qwen3 in f32, f16 or q8_0"):
        weights_in(file)


def test_other_kinds_of_numbers_other_names_and_other_networks_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.gguf"
    for tensor in (Stored("token_embd.weight", (2, 64), 12, 144), Stored("strange", (2, 64), 0, 512)):
        file.write_bytes(head_bytes(SETTINGS, [tensor]) + bytes(512))
        with pytest.raises(UsageError, match="is not a whole Qwen3"):
            weights_in(file)
    with pytest.raises(UsageError, match="is a qwen35; only qwen3 is taken up again"):
        weights_in(written(tmp_path / "eyes", "f32", QWEN35))
    file.write_bytes(b"no model at all")
    with pytest.raises(UsageError, match=r"other\.gguf: is no GGUF file that can be read: invalid file magic"):
        weights_in(file)
    with pytest.raises(UsageError, match=r"absent\.gguf: is no GGUF file that can be read"):
        weights_in(tmp_path / "absent.gguf")


def test_the_head_says_where_each_tensor_begins(tmp_path: Path) -> None:
    """At multiples of 32 behind the head, one behind the other, to the end of the file."""
    file = written(tmp_path, "f16")
    head, at = read_head(file), None
    for tensor in head.tensors.values():
        size = int(np.prod(tensor.shape)) * (4 if tensor.kind == 0 else 2)
        assert at in (None, tensor.at)
        assert tensor.at % 32 == 0
        at = tensor.at + size + len(padding(size))
    assert at == file.stat().st_size
    assert sum(head.kinds.values()) == len(head.tensors)


def test_the_tokenizer_of_a_file_is_the_one_that_was_trained_with() -> None:
    """By the digests in the record of the training, of both models that the second sittings begin with."""
    pytest.importorskip("transformers", reason="needs transformers: pip install 'finops[train]'")
    from finops_cli.foundry.training.tokenizer import digests, open_tokenizer

    stages: tuple[Stage, ...] = ("triage", "resolver")
    for stage in stages:
        file = ROOT / "models/first" / f"tiny-{stage}.gguf"
        base = resolve(Chosen(stage, "tiny-cpu", None, [])).settings.base
        tokenizer = open_tokenizer(replace(base, tokenizer=str(file), vocabulary=None), ())
        made_from = json.loads((file.parent / f"tiny-{stage}.run.json").read_bytes())["made_from"]
        assert digests(tokenizer) == (made_from["tokenizer_sha256"], made_from["template_sha256"])
