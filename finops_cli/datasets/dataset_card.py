"""The dataset card: what a set is, what it was made from, and what was counted in it.

Markdown with the front matter that `datasets` reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.writer import DatasetOptions, Written

_VERDICT = {True: "kept", False: "**broken**", None: "too few rows to judge"}


def card(
    sets: Sequence[tuple[DatasetOptions, Written, list[Requirement]]],
    stages: Sequence[str],
    rules: str,
    command: str,
) -> str:
    """The README of a data folder that holds `stages`, `sets` of them just made.

    `rules` is the version of the knowledge base, `command` what makes the same bytes again.
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

# finops training data: {", ".join(order.stage for order, _, _ in sets)}

Synthetic. Every row was verified from its own texts by the checker that judges models at the desk before it was written.

    {command}

makes the same bytes again, with rules `{rules}`. `finops generate --report .{profile}` recounts everything below from the files.

Columns: `prompt` and `completion` as messages (`chat_template_kwargs` says whether the model thinks first), `record` and `answer` as JSON texts,
`id`, `stage`, `split`. Train and eval share no record, and none that differs only in identifiers or free text.

{sections}"""  # noqa: E501 - a paragraph of Markdown is one line


def _section(order: DatasetOptions, written: Written, kept: list[Requirement]) -> str:
    files = "\n".join(
        f"| {name} | {written.rows[name]:,} | `{digest}` |"
        for name, digest in written.digests.items()
    )
    proofs = "\n".join(
        f"| {promise.name} | {_VERDICT[promise.kept]} | {promise.detail} |" for promise in kept
    )
    return f"""## {order.stage}

{order.rows:,} rows, seed {order.seed}, profile {order.profile}.

| file | rows | SHA-256 |
|---|---|---|
{files}

| promise | verdict | counted |
|---|---|---|
{proofs}
"""
