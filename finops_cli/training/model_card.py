"""Render the model card in Markdown: the model, its scores, and how to repeat the training."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from finops_cli.datasets.stages import STAGES
from finops_cli.training.recipe import Setting
from finops_cli.training.run_record import (
    CURVE,
    EvaluationPoint,
    MadeFrom,
    TrainingRecord,
    TrainingResult,
)

_REPRODUCES = {
    True: "On a processor, the same command with the versions below gives the same bytes.",
    False: "On a GPU, the same command gives a similar model, not the same bytes.",
}


def render_model_card(run: TrainingRecord) -> str:
    """Render the card of a finished run. Raises ValueError for an unfinished one."""
    made, result = run.made_from, run.result
    if result is None:
        raise ValueError("an unfinished run has no model")
    settings = {setting.key: setting.value for setting in made.settings}
    best = next(each for each in result.evaluations if each.step == result.best_step)
    whole = settings["adapter.method"] == "full"
    return f"""---
{_render_front_matter(made, settings, best)}---

# finops {made.stage} model

{"A model" if whole else "A LoRA adapter"} made by `finops train` from {settings["base.folder"] or settings["base.name"]}.
{result.trained_parameters:,} of {result.parameters:,} parameters trained, {result.steps:,} steps, {result.tokens:,} tokens.
For research and demonstration. finops checks every answer against the rules and replaces wrong values.

{_render_scores(made, result, best)}

![Loss and answers by step]({CURVE})

## Use

`finops quantize` makes a GGUF file of it, and `finops run` checks each answer. Alone, in this folder:

```python
{_render_example(made.stage, str(settings["data.modelfile"]), whole)}
```

## Training

{_REPRODUCES[made.device == "cpu"]} `run.json` has every number; its digest is `{run.digest}`.

{_render_origin(made, result)}"""  # noqa: E501 - a paragraph of Markdown is one line


def _render_front_matter(
    made: MadeFrom, settings: Mapping[str, object], best: EvaluationPoint
) -> str:
    """Render the metadata by which the Hugging Face Hub files a model."""
    whole = settings["adapter.method"] == "full"
    is_scratch = any(
        key.startswith("base.scratch") and value is not None for key, value in settings.items()
    )
    front: dict[str, object] = {
        "license": "apache-2.0",
        "language": ["en"],
        "library_name": "transformers" if whole else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["settlement", "post-trade", "finops", made.stage],
        "datasets": [f"finops-{made.stage}"],
        "metrics": ["exact_match"],
    }
    if not is_scratch:
        front["base_model"] = settings["base.name"]
        front["base_model_relation"] = "finetune" if whole else "adapter"
    found = {
        "task": {"type": "text-generation"},
        "dataset": {"name": f"finops {made.stage}, held out", "type": f"finops-{made.stage}"},
        "metrics": [
            {"type": "exact_match", "value": round(best.exact / best.asked, 4)},
            {"type": "valid_json", "value": round(best.valid / best.asked, 4)},
        ],
    }
    front["model-index"] = [{"name": f"finops {made.stage} model", "results": [found]}]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


_EXAMPLES = {
    "triage": "Triage this fail record: CUSIP: 594918104 | Side: Sell | Qty: 5000 | Age: 7 days",
    "resolver": '{"cusip": "594918104", "ftd_qty": 5000}',
    "sentiment": "Settlement of the trade failed again.",
}
"""A short message of the user for each stage."""


def _render_example(stage: str, modelfile: str, whole: bool) -> str:
    """Render Python code that asks the model once."""
    package, model = (
        ("transformers", "AutoModelForCausalLM") if whole else ("peft", "AutoPeftModelForCausalLM")
    )
    imports = sorted((f"from {package} import {model}", "from transformers import AutoTokenizer"))
    if whole:
        imports = ["from transformers import AutoModelForCausalLM, AutoTokenizer"]
    folder = "model" if whole else "adapter"
    return "\n".join(
        [
            *imports,
            "",
            "from finops_cli.models.prompts import system_prompt",
            "",
            f'model = {model}.from_pretrained("{folder}")',
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
            "messages = [",
            f'    {{"role": "system", "content": system_prompt("{modelfile}")}},',
            f'    {{"role": "user", "content": {_EXAMPLES.get(stage, stage)!r}}},',
            "]",
            "text = tokenizer.apply_chat_template(",
            "    messages, tokenize=False, add_generation_prompt=True",
            ")",
            'tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)',
            "answer = model.generate(**tokens, max_new_tokens=32)",
            'print(tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :]))',
        ]
    )


def _render_origin(made: MadeFrom, result: TrainingResult) -> str:
    """Render the inputs, the recipe and the files of a run."""
    return f"""## Made from

| what | fingerprint |
|---|---|
{_render_fingerprints(made)}

## Recipe

| key | value | from |
|---|---|---|
{_render_recipe(made.settings)}

## Files

| file | SHA-256 |
|---|---|
{_render_table(result.artefacts)}
"""


def _render_scores(made: MadeFrom, result: TrainingResult, best: EvaluationPoint) -> str:
    decided = STAGES[made.stage].decision_field
    rows = "\n".join(
        f"| {each.step:,}{' (kept)' if each is best else ''} | {each.loss:.4f} |"
        + "".join(
            f" {_format_proportion(count, each)} |"
            for count in (each.valid, each.exact, each.decided)
        )
        for each in result.evaluations
    )
    return f"""Graded on {best.asked:,} generated answers to held-out records, before any repair, by the checker of `finops run`.
Mean training loss {result.train_loss:.4f}.

| step | eval loss | valid | exact | same {decided} |
|---|---|---|---|---|
{rows}"""  # noqa: E501 - the same


def _format_proportion(count: int, each: EvaluationPoint) -> str:
    return f"{count} ({100 * count / each.asked:.1f} %)"


def _render_fingerprints(made: MadeFrom) -> str:
    lines = {
        **{
            f"{note.split} rows ({note.rows:,})": note.sha256 or note.stream or ""
            for note in made.data
        },
        "rules": made.kb,
        "prompt": made.prompt_sha256,
        "tokenizer": made.tokenizer_sha256,
        "chat template": made.template_sha256,
        **{f"base {name}": digest for name, digest in made.base.items()},
        "device": made.device,
        **{name: version for name, version in made.versions.items() if version is not None},
    }
    return _render_table(lines)


def _render_recipe(settings: list[Setting]) -> str:
    return "\n".join(
        f"| `{each.key}` | `{_escape(each.value)}` | {each.origin} |" for each in settings
    )


def _escape(value: object) -> str:
    return str(value).replace("|", "\\|")


def _render_table(lines: dict[str, str]) -> str:
    return "\n".join(f"| {name} | `{value}` |" for name, value in lines.items())
