"""The dataset card: the contents, the origin and the counts of a dataset.

It is Markdown with the front matter that the library `datasets` reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.writer import DatasetOptions, Written

_RESULT = {True: "met", False: "**not met**", None: "too few rows to judge"}


def card(
    sets: Sequence[tuple[DatasetOptions, Written, list[Requirement]]],
    stages: Sequence[str],
    rules: str,
    command: str,
) -> str:
    """Return the README of a data folder that contains `stages`.

    `sets` are the datasets that were just made. `rules` is the version of the knowledge base.
    `command` makes the same bytes again.
    """
    profile = "" if sets[0][0].profile == "coverage" else f" --profile {sets[0][0].profile}"
    configs = "\n".join(
        f"- config_name: {stage}\n  data_files:\n  - split: train\n    path: {stage}-train.jsonl\n"
        f"  - split: eval\n    path: {stage}-eval.jsonl"
        for stage in stages
    )
    sections = "\n".join(_section(*made) for made in sets)
    return f"""---
license: apache-2.0
language: en
tags: [settlement, post-trade, synthetic]
configs:
{configs}
---

# finops training data: {", ".join(options.stage for options, _, _ in sets)}

Synthetic. Every row was verified from its own texts by the checker that judges models in the pipeline before it was written.

    {command}

makes the same bytes again, with rules `{rules}`. `finops dataset-report .{profile}` counts everything below again from the files.

Columns: `prompt` and `completion` as messages (`chat_template_kwargs` says whether the model reasons first), `record` and `answer` as JSON texts,
`id`, `stage`, `split`. Train and eval share no record, even if identifiers and free text are ignored.

{sections}"""  # noqa: E501 - a paragraph of Markdown is one line


def _section(options: DatasetOptions, written: Written, judged: list[Requirement]) -> str:
    files = "\n".join(
        f"| {name} | {written.rows[name]:,} | `{digest}` |"
        for name, digest in written.digests.items()
    )
    proofs = "\n".join(f"| {each.name} | {_RESULT[each.met]} | {each.detail} |" for each in judged)
    return f"""## {options.stage}

{options.rows:,} rows, seed {options.seed}, profile {options.profile}.

| file | rows | SHA-256 |
|---|---|---|
{files}

| requirement | result | counted |
|---|---|---|
{proofs}
"""
