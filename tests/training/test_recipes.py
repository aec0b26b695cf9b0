"""Training recipes: the values of the cards, four layers of which the last wins, and no unknown
key.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from finops_cli import extras
from finops_cli.datasets.scratchpad.examples import SEEDS
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.files.user_files import read_yaml
from finops_cli.training.data.lengths import count_packed_blocks, count_steps
from finops_cli.training.recipe import (
    RecipeRequest,
    ResolvedRecipe,
    config_schema,
    resolve_recipe,
)
from tests.support.program import ROOT, Finops

STAGES: tuple[StageName, ...] = ("triage", "resolver", "sentiment")
PHASE_2: tuple[StageName, ...] = ("triage", "resolver")
"""Stages whose tiny model is trained in two phases."""


def recipe(
    stage: StageName = "triage", preset: str | None = None, *flags: str, config: Path | None = None
) -> ResolvedRecipe:
    return resolve_recipe(RecipeRequest(stage, preset, config, [("--set", flag) for flag in flags]))


def values(resolved: ResolvedRecipe) -> dict[str, Any]:
    return {setting.key: setting.value for setting in resolved.table}


def test_recipes_have_the_values_of_the_cards() -> None:
    """The recipes have every value that the model cards print."""
    shared = {
        "adapter.rank": 16,
        "adapter.alpha": 32,
        "adapter.method": "lora",
        "base.quantization": "nf4",
    }
    batches = {
        "training.batch": 2,
        "training.accumulation": 4,
        "training.epochs": 3,
        "training.learning_rate": 2e-4,
    }
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
    cards: dict[StageName, dict[str, Any]] = {
        "triage": {
            **shared,
            **batches,
            "base.name": "Qwen/Qwen3.5-9B",
            "adapter.targets": attention,
            "adapter.dropout": 0.05,
            "training.max_length": 1024,
            "training.warmup": 0.03,
            "training.scheduler": "cosine",
            "training.precision": "bf16",
        },
        "resolver": {
            **shared,
            **batches,
            "base.name": "Qwen/Qwen3-8B",
            "adapter.targets": [*attention, "gate_proj", "up_proj", "down_proj"],
            "adapter.dropout": 0.0,
            "training.max_length": 5120,
            "training.warmup": 90,
            "training.packing": True,
            "training.scheduler": "cosine",
        },
        "sentiment": {**shared, "adapter.targets": attention},
    }
    for stage, printed in cards.items():
        assert values(recipe(stage)).items() >= printed.items()


@pytest.mark.parametrize(
    ("flags", "served"),
    [
        ([], "Qwen3ForCausalLM: finops quantize converts it; --backend llama-cpp, ollama"),
        (["base.shape=mistral-7b"], "MistralForCausalLM: finops quantize converts it for"),
        (["base.shape=null"], "unknown architecture: finops quantize does not convert it"),
    ],
)
def test_plan_says_what_serves_the_result(flags: list[str], served: str) -> None:
    """Before a run starts, its plan names the backends that can serve the result."""
    from finops_cli.training.planning.serving import describe_serving

    assert served in describe_serving(recipe("sentiment", None, *flags).settings)


@pytest.mark.parametrize("stage", STAGES)
def test_every_preset_gives_a_consistent_recipe(stage: StageName) -> None:
    """Every preset of every stage gives a valid recipe."""
    document = read_yaml(ROOT / f"training/{stage}.yaml")
    assert isinstance(document, dict)
    assert sorted(document["presets"]) == ["16gb", "24gb", "a100", "tiny-cpu"]
    for preset in document["presets"]:
        assert recipe(stage, preset).preset == preset


def test_recipe_later_layers_win_with_their_origin(tmp_path: Path) -> None:
    """A preset overrides the recipe, a file the preset, and flags the file. The table shows the
    origin of each value.
    """
    mine = tmp_path / "mine.yaml"
    mine.write_text("training:\n  learning_rate: 1e-4\n  epochs: 2\n")
    resolved = recipe("triage", "16gb", "training.epochs=5", config=mine)
    found = {setting.key: (setting.value, setting.origin) for setting in resolved.table}
    assert found["training.max_length"] == (1024, "training/triage.yaml")
    assert found["training.batch"] == (1, "preset 16gb")
    assert found["training.learning_rate"] == (1e-4, str(mine))
    assert found["training.epochs"] == (5, "--set")
    assert resolved.settings.training.epochs == 5


def test_recipe_table_lists_each_key_once() -> None:
    """A key is listed once in the table, as a whole or part by part."""
    for resolved in (
        recipe(),
        recipe("triage", "tiny-cpu"),
        recipe("triage", "tiny-cpu", "base.scratch=null", "base.vocabulary=null"),
    ):
        keys = [setting.key for setting in resolved.table]
        assert len(keys) == len(set(keys))
        assert not [key for key in keys if any(other.startswith(f"{key}.") for other in keys)]
    assert "base.scratch.hidden_size" in values(recipe("triage", "tiny-cpu"))
    assert "base.scratch" in values(recipe())


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "training.bach=3",
            (
                "training.bach is not a known key (did you mean training.batch?). Expected one of:"
                " epochs, max_steps"
            ),
        ),
        ("batch=4", "batch is not a known key (did you mean training.batch?)"),
        ("traning.batch=4", "traning is not a known key (did you mean training?)"),
        ("base.scratch.width=4", "base.scratch.width is not a known key"),
        ("training.batch=0", "training.batch is 0. Expected a number from 1 up."),
        ("training.batch=many", "training.batch is 'many'. Expected a whole number."),
        ("training.batch=true", "training.batch is true. Expected a number."),
        (
            "training.learning_rate=.nan",
            "training.learning_rate is nan. Expected a finite number.",
        ),
        ("base.name=null", "base.name is empty. Expected text."),
        (
            "training.scheduler=cos",
            (
                "training.scheduler is 'cos'. Expected one of: cosine, linear,"
                " constant_with_warmup, warmup_stable_decay."
            ),
        ),
        ("training=3", "training is 3. Expected keys with values: epochs, max_steps"),
        ("adapter.targets=q_proj", "adapter.targets is 'q_proj'. Expected a list."),
        ("training.batch", "Expected KEY=VALUE"),
        ("training.batch=[", "Expected a value that YAML can read."),
    ],
)
def test_recipe_flag_with_unknown_key_or_value_is_refused(flag: str, message: str) -> None:
    """An unknown key or value raises UsageError with its layer, the accepted values and the nearest
    name.
    """
    with pytest.raises(UsageError) as refused:
        recipe("triage", None, flag)
    assert str(refused.value).startswith("--set")
    assert message in refused.value.one_line()


def test_recipe_errors_of_all_layers_are_listed_at_once(tmp_path: Path) -> None:
    """All errors of all layers are reported at once, each with origin, key, value and what is
    expected.
    """
    mine = tmp_path / "mine.yaml"
    mine.write_text("adapter: {ranc: 8, rank: -1}\ndata: {seed: false}\n")
    with pytest.raises(UsageError) as refused:
        recipe("triage", "16gb", "training.scheduler=cos", "evaluation.keep=0", config=mine)
    meant = "(did you mean adapter.rank?). Expected one of: method, rank, alpha, dropout, targets."
    words = "cosine, linear, constant_with_warmup, warmup_stable_decay"
    assert str(refused.value).splitlines() == [
        "the recipe has 5 faults:",
        f"  {mine}: adapter.ranc is not a known key {meant}",
        f"  {mine}: adapter.rank is -1. Expected a number from 1 up.",
        f"  {mine}: data.seed is false. Expected a number.",
        f"  --set: training.scheduler is 'cos'. Expected one of: {words}.",
        "  --set: evaluation.keep is 0. Expected a number from 1 up.",
    ]


def test_recipe_contradictions_name_values_and_origins() -> None:
    """All contradictions of a recipe are reported at once with the values and the layers that they
    come from.
    """
    with pytest.raises(UsageError) as refused:
        recipe("triage", "tiny-cpu", "adapter.method=lora", "training.packing=true")
    assert str(refused.value) == (
        "the recipe contradicts itself: base.scratch needs adapter.method=full: an adapter on"
        " random weights learns little (base.scratch from preset tiny-cpu, adapter.method='lora'"
        " from --set); training.optimizer=muon needs adapter.method=full"
        " (training.optimizer='muon' from preset tiny-cpu, adapter.method='lora' from --set);"
        " data.source=stream needs training.packing=false: packing needs the lengths of all rows"
        " (data.source='stream' from preset tiny-cpu, training.packing=true from --set)"
    )


def test_recipe_schema_accepts_the_bundled_configs() -> None:
    """`kb/schemas/recipe.schema.json` equals `finops schema recipe` and accepts the bundled
    configs.
    """
    schema = config_schema()
    assert json.loads((ROOT / "kb/schemas/recipe.schema.json").read_text()) == schema
    jsonschema.Draft202012Validator.check_schema(schema)
    for stage in PHASE_2:
        config = read_yaml(ROOT / "training/continue" / f"{stage}.yaml")
        jsonschema.validate(config, schema)
        with pytest.raises(jsonschema.ValidationError, match="ranc"):
            jsonschema.validate({"adapter": {"ranc": 8}}, schema)


def test_recipe_file_error_names_the_file(tmp_path: Path) -> None:
    """An error in a recipe file names the file, and so does an unreadable or empty one."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("adapter: {ranc: 8}")
    with pytest.raises(
        UsageError,
        match=r"mine\.yaml: adapter\.ranc is not a known key \(did you mean adapter\.rank\?\)",
    ):
        recipe(config=mine)
    mine.write_text("- a list")
    with pytest.raises(UsageError, match=r"mine\.yaml has no keys"):
        recipe(config=mine)
    with pytest.raises(UsageError, match="cannot be read"):
        recipe(config=tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("preset", "flag", "message"),
    [
        ("tiny-cpu", "adapter.method=lora", "adapter.method=full"),
        ("tiny-cpu", "base.folder=x", "exclude each other"),
        ("tiny-cpu", "base.tokenizer=x", "exactly one of base.tokenizer"),
        ("tiny-cpu", "training.max_steps=null", "--max-steps"),
        ("tiny-cpu", "training.packing=true", "packing=false"),
        (
            "tiny-cpu",
            "training.batch=2",
            "training.tokens needs data.source=stream, training.batch=1",
        ),
        ("tiny-cpu", "training.workers=1", "training.workers=0"),
        ("tiny-cpu", "training.tokens=null", "data.mix needs training.tokens"),
        ("tiny-cpu", "training.muon=null", "optimizer=muon and training.muon need each other"),
        ("tiny-cpu", "training.hold=null", "and training.hold need each other"),
        (
            "tiny-cpu",
            "base.scratch.weights=x",
            "base.scratch.start and base.scratch.weights exclude each other",
        ),
        (None, "adapter.method=full", "4-bit weights cannot be trained"),
        (None, "data.format=tiny", "source=file needs data.format=card"),
        (
            "tiny-cpu",
            "base.scratch.kv_heads=3",
            "heads must be a multiple",
        ),
        ("tiny-cpu", "base.scratch.head_dim=31", "head_dim must be even"),
    ],
)
def test_recipe_keys_that_exclude_each_other_are_refused(
    preset: str | None, flag: str, message: str
) -> None:
    """Keys that exclude each other raise UsageError."""
    with pytest.raises(UsageError, match=message):
        recipe("triage", preset, flag)


def test_unknown_preset_suggests_the_nearest_name() -> None:
    """An unknown preset raises UsageError with the nearest name."""
    with pytest.raises(UsageError, match=r"unknown preset tiny \(did you mean tiny-cpu\?\)"):
        recipe("triage", "tiny")


def test_steps_and_warmup_equal_the_cards() -> None:
    """8,000 rows at 8 a step for 3 epochs give 3,000 steps, of which 90 warm up."""
    assert count_steps(8000, recipe("triage").settings.training) == (3000, 90)
    assert count_steps(8000, recipe("resolver").settings.training) == (3000, 90)


@pytest.mark.parametrize(
    ("lengths", "room", "blocks"),
    [
        ([5, 5], 10, 1),
        ([6, 5], 10, 2),
        ([7, 5, 3, 3, 2], 10, 2),
        ([20, 1], 10, 2),
        ([], 10, 0),
        ([6, 5, 4, 4, 1], 10, 2),
    ],
)
def test_packing_puts_longest_rows_into_the_fullest_block(
    lengths: list[int], room: int, blocks: int
) -> None:
    """Rows are packed longest first, each into the fullest block with room for it."""
    assert count_packed_blocks(lengths, room) == blocks


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extra is installed")
def test_train_without_the_extra_exits_3_with_the_fix(finops: Finops, tmp_path: Path) -> None:
    """Without the extra `finops train` ends with exit 3 and the fix."""
    done = finops("train", "--stage", "triage", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert extras.cure("train") in done.stderr.decode()


@pytest.mark.skipif(find_spec("unsloth") is not None, reason="Unsloth is installed")
def test_train_with_unsloth_missing_names_its_fix(finops: Finops, tmp_path: Path) -> None:
    """`--trainer unsloth` without Unsloth ends with exit 3 and its fix."""
    done = finops("train", "--stage", "triage", "--trainer", "unsloth", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert extras.cure("unsloth") in done.stderr.decode()


def test_train_with_resume_and_overwrite_is_refused(finops: Finops) -> None:
    """`--resume` together with `--overwrite` ends with exit 2."""
    done = finops("train", "--stage", "triage", "--resume", "--overwrite")
    assert (done.returncode, "give one of them" in done.stderr.decode()) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("2020-13-45", "is not YAML"),
        ("1" * 5000, "is not YAML"),
        ("[" * 3000, "is nested too deeply"),
    ],
)
def test_recipe_value_that_yaml_cannot_read_is_refused(
    value: str, fault: str, tmp_path: Path
) -> None:
    """An impossible date, a huge number and deep nesting are refused in a flag and in a file."""
    with pytest.raises(UsageError, match=r"training\.batch"):
        recipe("triage", None, f"training.batch={value}")
    (tmp_path / "own.yaml").write_text(f"training: {{batch: {value}}}\n")
    with pytest.raises(UsageError, match=fault):
        recipe(config=tmp_path / "own.yaml")


@pytest.mark.parametrize("stage", PHASE_2)
def test_phase_2_recipe_equals_phase_1_with_lower_rates(
    stage: StageName,
) -> None:
    """Phase 2 continues from a file of this repository with the same shape, other rows and lower
    rates.
    """
    first = recipe(stage, "tiny-cpu").settings
    second = recipe(stage, "tiny-cpu", config=ROOT / "training/continue" / f"{stage}.yaml").settings
    assert first.base.scratch is not None
    assert second.base.scratch is not None
    began = second.base.scratch.weights
    assert began == second.base.tokenizer == f"training/continue/tiny-{stage}.gguf"
    assert (ROOT / began).is_file()
    shapes = [
        each.base.scratch.model_copy(update={"weights": None, "start": None})
        for each in (first, second)
        if each.base.scratch is not None
    ]
    assert shapes[0] == shapes[1]
    seeds = [{each.data.seed + further for further in SEEDS.values()} for each in (first, second)]
    held_out = re.findall(r"generate .* --seed (\d+)", (ROOT / "justfile").read_text())
    assert not seeds[0] & seeds[1]
    assert {int(seed) for seed in held_out} == {990}
    assert not {990} & (seeds[0] | seeds[1])
    assert second.training.learning_rate < first.training.learning_rate
    assert first.training.muon is not None
    assert second.training.muon is not None
    assert second.training.muon.rate < first.training.muon.rate
