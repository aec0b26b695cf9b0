"""Render the model card in Markdown: the model, its scores, and how to repeat the training."""

from __future__ import annotations

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
license: apache-2.0
language: en
library_name: {"transformers" if whole else "peft"}
tags: [settlement, post-trade, finops, {made.stage}]
---

# finops {made.stage} model

{"A model" if whole else "A LoRA adapter"} made by `finops train` from {settings["base.folder"] or settings["base.name"]}.
{result.trained_parameters:,} of {result.parameters:,} parameters trained, {result.steps:,} steps, {result.tokens:,} tokens.
For research and demonstration. finops checks every answer against the rules and replaces wrong values.

{_render_scores(made, result, best)}

![Loss and answers by step]({CURVE})

{_REPRODUCES[made.device == "cpu"]} `run.json` has every number; its digest is `{run.digest}`.

## Made from

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
"""  # noqa: E501 - a paragraph of Markdown is one line


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
