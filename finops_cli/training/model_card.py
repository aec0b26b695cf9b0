"""The card of a trained model: what it is, how good it was found to be, and what makes it again.

Markdown.
"""

from __future__ import annotations

from finops_cli.datasets.stages import STAGES
from finops_cli.training.recipe import Setting
from finops_cli.training.run_record import CURVE, Evaluated, MadeFrom, Result, Run

_REPRODUCES = {
    True: "On a processor the same call makes the same bytes, with the versions below.",
    False: "On a GPU the same call makes a model much like this one, not the same bytes.",
}


def model_card(run: Run) -> str:
    """The card of a finished run. Raises ValueError for one that has not ended."""
    made, result = run.made_from, run.result
    if result is None:
        raise ValueError("a run that has not ended has no model")
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
For research and demonstration. finops checks every answer against the rules, and replaces what they do not bear out.

{_scores(made, result, best)}

![Loss and answers by step]({CURVE})

{_REPRODUCES[made.device == "cpu"]} `run.json` has every figure; its digest is `{run.digest}`.

## Made from

| what | fingerprint |
|---|---|
{_fingerprints(made)}

## Recipe

| key | value | from |
|---|---|---|
{_recipe(made.settings)}

## Files

| file | SHA-256 |
|---|---|
{_table(result.artefacts)}
"""  # noqa: E501 - a paragraph of Markdown is one line


def _scores(made: MadeFrom, result: Result, best: Evaluated) -> str:
    decided = STAGES[made.stage].decision_field
    rows = "\n".join(
        f"| {each.step:,}{' (kept)' if each is best else ''} | {each.loss:.4f} |"
        f" {_share(each.valid, each)} | {_share(each.exact, each)} | {_share(each.decided, each)} |"
        for each in result.evaluations
    )
    return f"""Judged on {best.asked:,} generated answers to records of the eval split, as they came, by the checker that judges at the desk.
Mean training loss {result.train_loss:.4f}.

| step | eval loss | valid | exact | same {decided} |
|---|---|---|---|---|
{rows}"""  # noqa: E501 - the same


def _share(count: int, each: Evaluated) -> str:
    return f"{count} ({100 * count / each.asked:.1f} %)"


def _fingerprints(made: MadeFrom) -> str:
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
    return _table(lines)


def _recipe(settings: list[Setting]) -> str:
    return "\n".join(
        f"| `{each.key}` | `{_said(each.value)}` | {each.origin} |" for each in settings
    )


def _said(value: object) -> str:
    return str(value).replace("|", "\\|")


def _table(lines: dict[str, str]) -> str:
    return "\n".join(f"| {name} | `{value}` |" for name, value in lines.items())
