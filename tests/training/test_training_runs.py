"""Real trainings of tiny models: the record, going on after an interruption, the 4-bit path,
packing, and which checkpoint is kept.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra: pip install -e '.[train]'")

from finops_cli.datasets.grading import Scores
from finops_cli.errors import Unfinished, UsageError
from finops_cli.training.answer_eval import AnswerEvaluator
from finops_cli.training.base_model import open_base, select_merge_base
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.planning.inspect import inspect_request
from finops_cli.training.planning.plan import plan_from_inspection
from finops_cli.training.trainer import _widen_trained_weights, make_trainer
from finops_cli.weights.model_note import ModelNote, read_note
from tests.support.cures import cured_by
from tests.support.program import Finops
from tests.support.training_runs import SMALL, WORKED, files, lora, trained, training_request

go_offline_and_quiet()
pytestmark = pytest.mark.filterwarnings("default")  # torch and its friends warn of their own plans


def run_of(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_bytes())


def test_a_record_says_what_a_model_was_made_from(base: Path) -> None:
    """Settings with their origin, rows, rules, prompt, tokenizer, versions; steps, tokens, losses,
    scores, files; no clock, no host.
    """
    run = run_of(base)
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


def test_a_tokenizer_is_saved_as_it_was(base: Path) -> None:
    """Padding for an examination is none of its properties."""
    saved = json.loads((base / "model/tokenizer.json").read_bytes())
    assert (saved["padding"], saved["truncation"]) == (None, None)


def test_the_digests_of_a_record_are_those_of_the_files(base: Path) -> None:
    from hashlib import sha256

    artefacts = run_of(base)["result"]["artefacts"]
    assert {"model/model.safetensors", "model/config.json", "model/tokenizer.json"} <= set(
        artefacts
    )
    assert {name: sha256((base / name).read_bytes()).hexdigest() for name in artefacts} == artefacts


def test_a_card_and_a_picture_stand_beside_the_model(base: Path) -> None:
    card = (base / "README.md").read_text()
    assert run_of(base)["digest"] in card
    assert "| `training.max_steps` | `8` | --set |" in card
    assert (base / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (base / "checkpoints").exists()


def test_equal_calls_make_equal_bytes(base: Path, tmp_path: Path) -> None:
    """Weights, record, card and picture: on a processor a training is a function of its recipe."""
    trained("sentiment", "tiny-cpu", [*SMALL, "training.max_steps=8"], tmp_path / "again")
    assert files(tmp_path / "again") == files(base)


def test_only_the_adapter_is_trained(adapter: Path, base: Path) -> None:
    """The digests of the base stand in the record, and its weights are what they were."""
    made, result = run_of(adapter)["made_from"], run_of(adapter)["result"]
    assert (
        made["base"]["model.safetensors"]
        == run_of(base)["result"]["artefacts"]["model/model.safetensors"]
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


def test_an_adapter_of_weights_in_four_bit_notes_none_to_be_merged_into(tmp_path: Path) -> None:
    """It is merged into the 16-bit model that those were made from, which nobody has shown."""
    digests = {"config.json": "1", "model.safetensors": "2"}
    for value, noted in (
        ({}, {"model.safetensors": "2"}),
        ({"quantization_config": {"load_in_4bit": True}}, {}),
    ):
        (tmp_path / "config.json").write_text(json.dumps(value))
        assert select_merge_base(tmp_path, digests) == noted


def test_four_bit_training_runs_on_a_processor(base: Path, sentences: Path, tmp_path: Path) -> None:
    """The QLoRA of the cards, NF4 with double quantization through bitsandbytes: the linear layers
    are packed, and the loss falls.
    """
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
    run = trained("sentiment", None, flags, tmp_path / "out").record
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


def test_the_layers_of_the_triage_base_are_trained(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """Qwen3.5: a vision-language folder is opened as its text part, and the adapter is in the
    linear-attention layers too.
    """
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base / "model")
    save_vision_base(tmp_path / "base/model", tokenizer)
    targets = (
        "adapter.targets=[q_proj,k_proj,v_proj,o_proj,gate_proj,in_proj_qkv,in_proj_z,out_proj]"
    )
    flags = lora(tmp_path / "base", sentences, targets, "training.max_steps=4")
    wanted = training_request("sentiment", None, flags)
    plan = plan_from_inspection(wanted, inspect_request(wanted), tmp_path)
    run = trained("sentiment", None, flags, tmp_path / "out").record
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


def test_packed_rows_make_as_many_sequences_as_planned(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """finops packs lengths as TRL packs rows, so the steps of a plan are those of the training."""
    flags = lora(
        base,
        sentences,
        "training.packing=true",
        "training.max_length=512",
        "training.batch=1",
        "training.epochs=1",
    )
    wanted = training_request("sentiment", None, flags)
    plan = plan_from_inspection(wanted, inspect_request(wanted), tmp_path)
    assert plan.steps.total < plan.steps.without_packing
    run = trained("sentiment", None, flags, tmp_path / "out").record
    assert run.result is not None
    assert (run.result.steps, run.result.tokens) == (plan.steps.total, plan.tokens_an_epoch)


class Scripted(AnswerEvaluator):
    """Finds what the script says: answers were best at the first examination."""

    script = (Scores(3, 3, 2, 2), Scores(3, 3, 1, 3), Scores(3, 3, 1, 3))

    def evaluate(self, model: Any) -> Scores:
        model.examined = getattr(model, "examined", 0) + 1
        return self.script[model.examined - 1]


def test_the_checkpoint_with_the_best_answers_is_kept(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    """Not the one with the lowest loss: here the loss falls all the way, and the answers were best
    after four steps.
    """
    wanted = training_request("sentiment", None, lora(base, sentences, "training.max_steps=12"))
    settings, found = wanted.resolved.settings, inspect_request(wanted)
    evaluator = Scripted([], found.tokenizer, settings.evaluation, wanted.kb)
    trainer = make_trainer(
        settings, open_base(settings, None, "hf"), found, evaluator, tmp_path, lambda now: None
    )
    trainer.train()
    losses = [each["eval_loss"] for each in trainer.state.log_history if "eval_loss" in each]
    assert losses == sorted(losses, reverse=True)
    assert (len(losses), trainer.state.best_global_step) == (3, 4)


def test_a_loss_that_is_no_number_ends_the_training(
    base: Path, sentences: Path, tmp_path: Path
) -> None:
    wanted = training_request("sentiment", None, lora(base, sentences))
    settings, found = wanted.resolved.settings, inspect_request(wanted)
    model = open_base(settings, None, "hf")
    model.lm_head.weight.data.fill_(float("nan"))
    evaluator = AnswerEvaluator([], found.tokenizer, settings.evaluation, wanted.kb)
    trainer = make_trainer(settings, model, found, evaluator, tmp_path, lambda now: None)
    with pytest.raises(Unfinished, check=cured_by(r"lower training\.learning_rate")):
        trainer.evaluate()


def test_the_command_trains(finops: Finops, tmp_path: Path) -> None:
    """stdout is the result, stderr the plan and the steps; a stream of triage rows is made as it
    goes.
    """
    flags = [
        part
        for flag in [*WORKED, "training.max_steps=4", "evaluation.samples=1"]
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
    talk = done.stderr.decode()
    assert "step 4 of 4  loss" in talk
    assert "base.scratch.hidden_size         64                           --set" in talk
    assert run_of(tmp_path / "out")["digest"] in done.stdout.decode()


def test_what_stands_in_the_way_is_told_at_once(sentences: Path, tmp_path: Path) -> None:
    """No base, no GPU: both are named before anything is written."""
    with pytest.raises(UsageError) as refused:
        trained("sentiment", None, [f"data.folder={sentences}"], tmp_path / "out")
    assert "--base DIR" in str(refused.value)
    assert "needs a GPU" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_under_fp16_what_is_trained_has_32_bits(base: Path) -> None:
    """Its loss scaling cannot be undone in 16 bits; the frozen weights stay as small as they
    are.
    """
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
