"""Trainings of tiny models: the record, the files, 4-bit weights, packing and the choice of the
checkpoint.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")

from finops_cli.datasets.grading import Scores
from finops_cli.errors import MissingPiece, Unfinished
from finops_cli.models.transformers.model_note import ModelNote, read_note
from finops_cli.training.answer_eval import AnswerEvaluator
from finops_cli.training.base_model import open_base, select_merge_base
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.planning.inspect import inspect_request
from finops_cli.training.planning.plan import plan_from_inspection
from finops_cli.training.trainer import _widen_trained_weights, make_trainer
from tests.support.cures import cured_by
from tests.support.program import Finops
from tests.support.training_runs import (
    SCRATCHPAD,
    SMALL,
    files,
    lora,
    override,
    run_training,
    training_request,
)

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def read_run(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_bytes())


def test_training_record_has_inputs_results_and_no_clock(base: Path) -> None:
    """The record has settings with origin, data, versions, steps, losses, scores and files, but no
    time and no host.
    """
    run = read_run(base)
    made, result = run["made_from"], run["result"]
    assert {"key": "training.max_steps", "value": 8, "origin": "--set"} in made["settings"]
    assert [note["rows"] for note in made["data"]] == [32, 6]
    assert all("seed 7" in note["stream"] for note in made["data"])
    assert all(
        len(made[name]) == 64 for name in ("prompt_sha256", "tokenizer_sha256", "template_sha256")
    )
    assert made["versions"]["torch"]
    assert [each["step"] for each in result["losses"]] == [1, 3, 4, 6, 8]
    assert [each["step"] for each in result["evaluations"]] == [4, 8]
    assert result["losses"][-1]["loss"] < result["losses"][0]["loss"]
    assert (result["steps"], result["best_step"] in (4, 8), result["tokens"] > 32 * 40) == (
        8,
        True,
        True,
    )
    assert "2026-11-21" not in (base / "run.json").read_text()
    assert json.loads((base / "timing.json").read_bytes())["ended"].startswith("2026-11-21")


def test_saved_tokenizer_has_no_padding_settings(base: Path) -> None:
    """The padding of an evaluation is not saved with the tokenizer."""
    saved = json.loads((base / "model/tokenizer.json").read_bytes())
    assert (saved["padding"], saved["truncation"]) == (None, None)


def test_training_record_has_the_digests_of_its_files(base: Path) -> None:
    """The digests in the record are those of the files."""
    from hashlib import sha256

    artefacts = read_run(base)["result"]["artefacts"]
    assert {"model/model.safetensors", "model/config.json", "model/tokenizer.json"} <= set(
        artefacts
    )
    assert {name: sha256((base / name).read_bytes()).hexdigest() for name in artefacts} == artefacts


def test_training_writes_card_and_picture_beside_the_model(base: Path) -> None:
    """A card with the digest and the settings and a loss picture are beside the model, and no
    checkpoint is left.
    """
    card = (base / "README.md").read_text()
    assert read_run(base)["digest"] in card
    assert "| `training.max_steps` | `8` | --set |" in card
    assert (base / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (base / "checkpoints").exists()


def test_model_card_has_the_metadata_of_the_hub(base: Path, adapter: Path) -> None:
    """The front matter names task, data, metrics and, for an adapter, the base that it changes."""
    whole, part = (
        yaml.safe_load((folder / "README.md").read_text().split("---")[1])
        for folder in (base, adapter)
    )
    assert "base_model" not in whole  # it began with random weights
    assert whole["library_name"] == "transformers"
    assert part["base_model"] == "Qwen/Qwen3-8B"
    assert part["base_model_relation"] == "adapter"
    for front in (whole, part):
        assert front["pipeline_tag"] == "text-generation"
        assert front["datasets"] == ["finops-sentiment"]
        assert front["metrics"] == ["exact_match"]
        assert front["license"] == "apache-2.0"
        [result] = front["model-index"][0]["results"]
        assert {metric["type"] for metric in result["metrics"]} == {"exact_match", "valid_json"}


@pytest.mark.parametrize("kind", ["base", "adapter"])
def test_example_of_the_model_card_runs(
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The Python code of the card loads the model in its folder and prints an answer."""
    folder: Path = request.getfixturevalue(kind)
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(folder)
    exec(code, {})  # noqa: S102 - what users copy
    assert capsys.readouterr().out


def test_equal_trainings_give_identical_files(base: Path, tmp_path: Path) -> None:
    """Two trainings of one recipe on a processor give identical files."""
    run_training("sentiment", "tiny-cpu", [*SMALL, "training.max_steps=8"], tmp_path / "again")
    assert files(tmp_path / "again") == files(base)


def test_adapter_training_leaves_the_base_unchanged(adapter: Path, base: Path) -> None:
    """An adapter training records the digests of its base, and trains only the adapter's
    weights.
    """
    made, result = read_run(adapter)["made_from"], read_run(adapter)["result"]
    assert (
        made["base"]["model.safetensors"]
        == read_run(base)["result"]["artefacts"]["model/model.safetensors"]
    )
    assert result["trained_parameters"] == 2 * 4 * 16 * (
        64 + 64
    )  # layers, projections, rank, width in and out
    assert {"adapter/adapter_model.safetensors", "adapter/adapter_config.json"} <= set(
        result["artefacts"]
    )
    weights = base / "model/model.safetensors"
    assert read_note(adapter / "adapter") == ModelNote(
        "sentiment", {weights.name: sha256(weights.read_bytes()).hexdigest()}
    )
    assert read_note(base / "model") == ModelNote("sentiment")


def test_adapter_of_a_4_bit_base_records_no_merge_base(tmp_path: Path) -> None:
    """An adapter of a 4-bit base records no base to merge into, because the 16-bit weights are
    unknown.
    """
    digests = {"config.json": "1", "model.safetensors": "2"}
    for value, expected in (
        ({}, {"model.safetensors": "2"}),
        ({"quantization_config": {"load_in_4bit": True}}, {}),
    ):
        (tmp_path / "config.json").write_text(json.dumps(value))
        assert select_merge_base(tmp_path, digests) == expected


def test_4_bit_training_runs_on_a_processor(base: Path, sentences: Path, tmp_path: Path) -> None:
    """Training with NF4 and double quantization packs the linear layers and reduces the loss."""
    pytest.importorskip("bitsandbytes")
    flags = lora(
        base,
        sentences,
        "base.quantization=nf4",
        "training.max_steps=8",
        "training.learning_rate=5e-3",
    )
    model = open_base(training_request("sentiment", None, flags).resolved.settings, None, "hf")
    assert {
        type(module).__name__ for name, module in model.named_modules() if name.endswith("q_proj")
    } == {"Linear4bit"}
    run = run_training("sentiment", None, flags, tmp_path / "out").record
    assert run.result is not None
    assert run.result.losses[-1].loss < run.result.losses[0].loss


def save_vision_base(folder: Path, tokenizer: Any) -> None:
    """A Qwen3.5 with a vision tower, of random weights."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    sizes = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    linear = {f"linear_num_{name}_heads": 2 for name in ("key", "value")} | {
        f"linear_{name}_head_dim": 16 for name in ("key", "value")
    }
    text = {
        **sizes,
        **linear,
        "head_dim": 32,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 64,
    }
    Qwen3_5ForConditionalGeneration(
        Qwen3_5Config(text_config=text, vision_config=vision)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_triage_base_is_trained_in_linear_attention_too(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A Qwen3.5 folder with a vision tower is opened as its text part, and adapters are in its
    linear attention too.
    """
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base / "model")
    save_vision_base(tmp_path / "base/model", tokenizer)
    targets = (
        "adapter.targets=[q_proj,k_proj,v_proj,o_proj,gate_proj,in_proj_qkv,in_proj_z,out_proj]"
    )
    flags = lora(tmp_path / "base", sentences, targets, "training.max_steps=4")
    request = training_request("sentiment", None, flags)
    plan = plan_from_inspection(request, inspect_request(request), tmp_path)
    run = run_training("sentiment", None, flags, tmp_path / "out").record
    assert plan.parameters is not None
    assert run.result is not None
    assert (plan.parameters.touched_layers, plan.parameters.trainable) == (
        4,
        run.result.trained_parameters,
    )
    learned = load_file(tmp_path / "out/adapter/adapter_model.safetensors")
    assert all(
        bool(weights.any()) for name, weights in learned.items() if "lora_B" in name
    )  # they begin with nothing
    assert any("in_proj_qkv" in name for name in learned)


def test_packed_training_has_the_steps_of_its_plan(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A packed training has the steps and tokens of its plan."""
    flags = lora(
        base,
        sentences,
        "training.packing=true",
        "training.max_length=512",
        "training.batch=1",
        "training.epochs=1",
    )
    request = training_request("sentiment", None, flags)
    plan = plan_from_inspection(request, inspect_request(request), tmp_path)
    assert plan.steps.total < plan.steps.without_packing
    run = run_training("sentiment", None, flags, tmp_path / "out").record
    assert run.result is not None
    assert (run.result.steps, run.result.tokens) == (plan.steps.total, plan.tokens_an_epoch)


class ScriptedEvaluator(AnswerEvaluator):
    """An evaluator with fixed scores, whose first evaluation is the best."""

    script = (Scores(3, 3, 2, 2), Scores(3, 3, 1, 3), Scores(3, 3, 1, 3))

    def evaluate(self, model: Any) -> Scores:
        model.examined = getattr(model, "examined", 0) + 1
        return self.script[model.examined - 1]


def test_checkpoint_with_the_best_answers_is_kept(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """The checkpoint with the best answers is kept, although the loss falls further."""
    request = training_request("sentiment", None, lora(base, sentences, "training.max_steps=12"))
    settings, found = request.resolved.settings, inspect_request(request)
    evaluator = ScriptedEvaluator([], found.tokenizer, settings.evaluation, request.kb)
    trainer = make_trainer(
        settings, open_base(settings, None, "hf"), found, evaluator, tmp_path, lambda now: None
    )
    trainer.train()
    losses = [each["eval_loss"] for each in trainer.state.log_history if "eval_loss" in each]
    assert losses == sorted(losses, reverse=True)
    assert (len(losses), trainer.state.best_global_step) == (3, 4)


def test_training_with_a_nan_loss_ends_with_a_fix(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """A loss that is NaN ends the training with a fix."""
    request = training_request("sentiment", None, lora(base, sentences))
    settings, found = request.resolved.settings, inspect_request(request)
    model = open_base(settings, None, "hf")
    model.lm_head.weight.data.fill_(float("nan"))
    evaluator = AnswerEvaluator([], found.tokenizer, settings.evaluation, request.kb)
    trainer = make_trainer(settings, model, found, evaluator, tmp_path, lambda now: None)
    with pytest.raises(Unfinished, check=cured_by(r"lower training\.learning_rate")):
        trainer.evaluate()


def test_train_command_prints_result_plan_and_steps(finops: Finops, tmp_path: Path) -> None:
    """`finops train` prints its result on stdout and the plan and steps on stderr, with rows made
    as needed.
    """
    flags = [
        part
        for flag in override([*SCRATCHPAD, "training.max_steps=4", "evaluation.samples=1"])
        for part in ("--set", flag)
    ]
    done = finops(
        "train", "--stage", "triage", "--preset", "tiny-cpu", *flags, "-o", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == [
        "model",
        "kept",
        "trained",
        "record",
    ]
    messages = done.stderr.decode()
    assert "step 4 of 4  loss" in messages
    assert "base.scratch.hidden_size         64                           --set" in messages
    assert read_run(tmp_path / "out")["digest"] in done.stdout.decode()


def test_training_blockers_are_reported_at_once(sentences: Path, tmp_path: Path) -> None:
    """A missing base and a missing GPU are reported together, before anything is written."""
    with pytest.raises(MissingPiece) as refused:
        run_training("sentiment", None, [f"data.folder={sentences}"], tmp_path / "out")
    assert "--base DIR" in str(refused.value)
    assert "needs a GPU" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_fp16_training_keeps_trained_weights_in_32_bits(base: Path) -> None:
    """With fp16 the trained weights have 32 bits, and the frozen ones stay in 16."""
    import torch

    model = open_base(
        training_request("sentiment", None, lora(base, base)).resolved.settings, None, "hf"
    ).to(torch.bfloat16)
    trained_one = model.model.layers[0].mlp.up_proj.weight
    model.requires_grad_(False)
    trained_one.requires_grad_(True)
    _widen_trained_weights(model)
    assert trained_one.dtype == torch.float32
    assert {weights.dtype for weights in model.parameters() if weights is not trained_one} == {
        torch.bfloat16
    }
