"""The initial weights of the tiny models: prepared ones, those of a folder, or those of a GGUF file
with its tokenizer.
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
from tests.support.training_runs import SCRATCHPAD, training_request

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
    expected = training_request("triage", "tiny-cpu", SCRATCHPAD)
    return open_base(expected.resolved.settings, inspect_request(expected).tokenizer, "hf")


def save_model(folder: Path, flags: Sequence[str] = SCRATCHPAD) -> tuple[Any, Any, Path]:
    """A model of the recipe and its tokenizer, saved in `folder`, and the GGUF file made of them
    there.
    """
    request = training_request("triage", "tiny-cpu", flags)
    tokenizer = inspect_request(request).tokenizer
    model = open_base(request.resolved.settings, tokenizer, "hf")
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


def test_model_starts_with_the_weights_of_its_recipe(tmp_path: Path) -> None:
    """A model starts with prepared weights, or with those of a folder, which must have its
    shape.
    """
    model = small_model()
    expected = make_initial_weights(read_shape(model.config, 6), 3)
    assert all(torch.equal(weights, expected[name]) for name, weights in model.state_dict().items())
    model.lm_head.weight.data.fill_(0.5)
    model.save_pretrained(tmp_path)
    request = training_request(
        "triage",
        "tiny-cpu",
        [*SCRATCHPAD, "base.scratch.start=null", f"base.scratch.weights={tmp_path}"],
    )
    tokenizer = inspect_request(request).tokenizer
    assert torch.equal(
        open_base(request.resolved.settings, tokenizer, "hf").lm_head.weight, model.lm_head.weight
    )
    other = training_request(
        "triage",
        "tiny-cpu",
        [
            *SCRATCHPAD,
            "base.scratch.start=null",
            f"base.scratch.weights={tmp_path}",
            "base.scratch.layers=3",
        ],
    )
    with pytest.raises(
        UsageError, match=r"model\.safetensors: does not hold weights of this shape"
    ):
        open_base(other.resolved.settings, tokenizer, "hf")


def test_model_starts_with_weights_and_tokenizer_of_gguf(tmp_path: Path) -> None:
    """A model starts with the weights and the tokenizer of a GGUF file, and the record has the
    file's digest.
    """
    model, tokenizer, file = save_model(tmp_path)
    places = [
        f"base.scratch.weights={file}",
        f"base.tokenizer={file}",
        "base.vocabulary=null",
        "base.scratch.start=null",
    ]
    second = training_request("triage", "tiny-cpu", [*SCRATCHPAD, *places])
    found = inspect_request(second)
    assert found.blockers == []
    assert digest_tokenizer(found.tokenizer) == digest_tokenizer(tokenizer)
    opened = open_base(second.resolved.settings, found.tokenizer, "hf").state_dict()
    assert all(torch.equal(weights, opened[name]) for name, weights in model.state_dict().items())
    assert digest_base(file) == {"gguf": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_unusable_start_file_is_a_blocker(
    tmp_path: Path,
) -> None:
    """A file of another shape, another vocabulary or a missing file is a blocker with its key. All
    are reported at once.
    """
    _, _, file = save_model(tmp_path)

    def blockers(*flags: str) -> str:
        places = [f"base.scratch.weights={file}", "base.scratch.start=null"]
        return "\n".join(
            inspect_request(
                training_request("triage", "tiny-cpu", [*SCRATCHPAD, *places, *flags])
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
def test_tied_model_starts_with_one_matrix_for_both(tmp_path: Path, kind: str) -> None:
    """A tied model is saved and opened with one matrix for input and output."""
    tied = [*SCRATCHPAD, "base.scratch.tied=true", "base.scratch.start=null"]
    model, tokenizer, file = save_model(tmp_path, tied)
    place = tmp_path if kind == "folder" else file
    second = training_request(
        "triage", "tiny-cpu", [*tied, f"base.scratch.weights={place}", "training.seed=99"]
    )
    opened = open_base(second.resolved.settings, tokenizer, "hf").state_dict()
    assert all(torch.equal(weights, opened[name]) for name, weights in model.state_dict().items())


@pytest.mark.parametrize(("was", "now"), [(b"qwen2", b"other"), (b"<|im_end|>", b"<|im_enD|>")])
def test_gguf_file_with_another_tokenizer_is_a_blocker(
    tmp_path: Path, was: bytes, now: bytes
) -> None:
    """A GGUF file whose tokenizer `finops train` did not learn is a blocker."""
    file = tmp_path / "other.gguf"
    file.write_bytes((ROOT / "training/continue/tiny-triage.gguf").read_bytes().replace(was, now))
    blockers = inspect_request(
        training_request(
            "triage", "tiny-cpu", [*SCRATCHPAD, f"base.tokenizer={file}", "base.vocabulary=null"]
        )
    ).blockers
    assert any(
        "other.gguf: its tokenizer was not learned by `finops train`" in blocker
        for blocker in blockers
    )
