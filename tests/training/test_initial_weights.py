"""What the trainings of the tiny models begin with: prepared weights, those of a folder, those of a
GGUF file with its words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")

import torch

from finops_cli.errors import UsageError
from finops_cli.training.base_model import digest_base, open_base
from finops_cli.training.data.tokenizer import digest_tokenizer
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.induction_init import make_initial_weights, read_shape
from finops_cli.training.planning.inspect import inspect_request
from finops_cli.weights.checkpoint import read_checkpoint
from finops_cli.weights.convert import ModelName, convert, plan_conversion
from tests.support.program import ROOT
from tests.support.training_runs import WORKED, training_request

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


_FIRST = ROOT / "training/continue/tiny-triage.gguf"
SECOND = (
    f"base.scratch.weights={_FIRST}",
    f"base.tokenizer={_FIRST}",
    "base.vocabulary=null",
    "base.scratch.start=null",
    "training.max_steps=1",
)
"""As `training/continue/triage.yaml` begins."""


def small_model() -> Any:
    wanted = training_request("triage", "tiny-cpu", WORKED)
    return open_base(wanted.resolved.settings, inspect_request(wanted).tokenizer, "hf")


def saved(folder: Path, flags: Sequence[str] = WORKED) -> tuple[Any, Any, Path]:
    """A model of the recipe and its tokenizer, saved in `folder`, and the GGUF file made of them
    there.
    """
    begun = training_request("triage", "tiny-cpu", flags)
    tokenizer = inspect_request(begun).tokenizer
    model = open_base(begun.resolved.settings, tokenizer, "hf")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "first.gguf"
    convert(
        plan_conversion(read_checkpoint(folder), None),
        file,
        "f32",
        ModelName("first"),
        lambda done, total: None,
    )
    return model, tokenizer, file


def test_a_model_begins_as_its_recipe_says(tmp_path: Path) -> None:
    """Prepared weights; or those of a folder, which has to have the shape."""
    model = small_model()
    wanted = make_initial_weights(read_shape(model.config, 6), 3)
    assert all(torch.equal(weights, wanted[name]) for name, weights in model.state_dict().items())
    model.lm_head.weight.data.fill_(0.5)
    model.save_pretrained(tmp_path)
    begun = training_request(
        "triage",
        "tiny-cpu",
        [*WORKED, "base.scratch.start=null", f"base.scratch.weights={tmp_path}"],
    )
    tokenizer = inspect_request(begun).tokenizer
    assert torch.equal(
        open_base(begun.resolved.settings, tokenizer, "hf").lm_head.weight, model.lm_head.weight
    )
    other = training_request(
        "triage",
        "tiny-cpu",
        [
            *WORKED,
            "base.scratch.start=null",
            f"base.scratch.weights={tmp_path}",
            "base.scratch.layers=3",
        ],
    )
    with pytest.raises(
        UsageError, match=r"model\.safetensors: does not hold weights of this shape"
    ):
        open_base(other.resolved.settings, tokenizer, "hf")


def test_a_model_begins_with_the_weights_and_the_words_of_a_gguf_file(tmp_path: Path) -> None:
    """Those that `finops quantize` wrote of a saved model, tokenizer included; the record names the
    file by its digest.
    """
    model, tokenizer, file = saved(tmp_path)
    places = [
        f"base.scratch.weights={file}",
        f"base.tokenizer={file}",
        "base.vocabulary=null",
        "base.scratch.start=null",
    ]
    second = training_request("triage", "tiny-cpu", [*WORKED, *places])
    found = inspect_request(second)
    assert found.blockers == []
    assert digest_tokenizer(found.tokenizer) == digest_tokenizer(tokenizer)
    opened = open_base(second.resolved.settings, found.tokenizer, "hf").state_dict()
    assert all(torch.equal(weights, opened[name]) for name, weights in model.state_dict().items())
    assert digest_base(file) == {"gguf": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_a_file_that_the_recipe_cannot_begin_with_stands_in_the_way_before_any_weight_is_read(
    tmp_path: Path,
) -> None:
    """Another shape, other words, no file; each by its key, and all at once."""
    _, _, file = saved(tmp_path)

    def blockers(*flags: str) -> str:
        places = [f"base.scratch.weights={file}", "base.scratch.start=null"]
        return "\n".join(
            inspect_request(
                training_request("triage", "tiny-cpu", [*WORKED, *places, *flags])
            ).blockers
        )

    assert blockers() == ""
    assert inspect_request(training_request("triage", "tiny-cpu", SECOND)).warnings == []
    other_stage = [flag.replace("triage.gguf", "resolver.gguf") for flag in SECOND]
    [warning] = inspect_request(training_request("triage", "tiny-cpu", other_stage)).warnings
    assert (
        "tiny-resolver.gguf is a model for the prompt of tiny-resolver; this run trains for the"
        " prompt of tiny-triage" in warning
    )
    other = blockers("base.scratch.layers=3", "base.scratch.rope_theta=10000", "data.seed=77")
    assert "first.gguf has layers 2, but base.scratch.layers is 3" in other
    assert "first.gguf has rope_theta 1e+06, but base.scratch.rope_theta is 10000" in other
    assert "first.gguf has another vocabulary; set base.tokenizer to the same file" in other
    absent = tmp_path / "absent.gguf"
    assert "absent.gguf: no such GGUF file" in blockers(f"base.scratch.weights={absent}")
    assert (
        blockers(
            f"base.scratch.weights={absent}", f"base.tokenizer={absent}", "base.vocabulary=null"
        ).count("absent.gguf")
        == 1
    )
    assert "model.safetensors: no such file; train that model first" in blockers(
        f"base.scratch.weights={tmp_path / 'absent'}"
    )


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_predicts_is_what_reads_where_both_are_one(tmp_path: Path, kind: str) -> None:
    """A tied model is saved, and quantized, with one matrix for both."""
    tied = [*WORKED, "base.scratch.tied=true", "base.scratch.start=null"]
    model, tokenizer, file = saved(tmp_path, tied)
    place = tmp_path if kind == "folder" else file
    second = training_request(
        "triage", "tiny-cpu", [*tied, f"base.scratch.weights={place}", "training.seed=99"]
    )
    opened = open_base(second.resolved.settings, tokenizer, "hf").state_dict()
    assert all(torch.equal(weights, opened[name]) for name, weights in model.state_dict().items())


@pytest.mark.parametrize(("was", "now"), [(b"qwen2", b"other"), (b"<|im_end|>", b"<|im_enD|>")])
def test_a_gguf_file_whose_words_are_others_is_no_tokenizer_here(
    tmp_path: Path, was: bytes, now: bytes
) -> None:
    """Texts that are parted otherwise, or other tokens behind those that were learned."""
    file = tmp_path / "other.gguf"
    file.write_bytes((ROOT / "training/continue/tiny-triage.gguf").read_bytes().replace(was, now))
    said = inspect_request(
        training_request(
            "triage", "tiny-cpu", [*WORKED, f"base.tokenizer={file}", "base.vocabulary=null"]
        )
    ).blockers
    assert any(
        "other.gguf: its tokenizer was not learned by `finops train`" in blocker for blocker in said
    )
