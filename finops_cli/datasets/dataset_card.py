"""The dataset card: the contents, the origin and the counts of the datasets in a folder.

It is Markdown with the front matter of the Hugging Face Hub, which the library `datasets` reads.
Each stage has a section of its own between marks, so that a later stage keeps the earlier ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.writer import DatasetOptions, Written
from finops_cli.files.digests import sha256_of_file

CARD = "README.md"
_RESULT = {True: "met", False: "**not met**", None: "too few rows to judge"}
_SECTION = re.compile(
    r"^<!-- finops: (\w+) -->\n(.*?)^<!-- finops: end -->\n", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"^\| ([\w-]+\.jsonl) \| [0-9,]+ \| `([0-9a-f]{64})` \|$", re.MULTILINE)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_TASKS = {"sentiment": "text-classification"}
"""The task of a stage on the Hub; the others generate text."""


def render_card(sections: Mapping[str, str], rows: int) -> str:
    """Return the README of a data folder: `sections` by stage, with `rows` rows in all."""
    parts = "\n".join(
        f"<!-- finops: {stage} -->\n{text}<!-- finops: end -->\n"
        for stage, text in sections.items()
    )
    first = next(iter(sections))
    return f"""{_render_front_matter(list(sections), rows)}# finops training data: {", ".join(sections)}

Synthetic. Every row was verified from its own texts by the checker that judges models in the pipeline before it was written.

Columns: `prompt` and `completion` as messages (`chat_template_kwargs` says whether the model reasons first), `record` and `answer` as JSON texts,
`id`, `stage`, `split`. Train and eval share no record, even if identifiers and free text are ignored.

## Use

```python
from datasets import load_dataset

files = {{"train": "{first}-train.jsonl", "eval": "{first}-eval.jsonl"}}  # in this folder
rows = load_dataset("json", data_files=files, split="train")
print(rows[0]["prompt"], rows[0]["completion"])
```

`finops dataset-report .` counts everything below again from the files, and `finops train` trains on them.

{parts}"""  # noqa: E501 - a paragraph of Markdown is one line


def _render_front_matter(stages: list[str], rows: int) -> str:
    """Render the metadata by which the Hub files a dataset, and by which `datasets` reads it."""
    configs = "\n".join(
        f"- config_name: {stage}\n  data_files:\n  - split: train\n    path: {stage}-train.jsonl\n"
        f"  - split: eval\n    path: {stage}-eval.jsonl"
        for stage in stages
    )
    tasks = dict.fromkeys(_TASKS.get(stage, "text-generation") for stage in stages)
    size = next((name for most, name in _SIZES if rows < most), "1M<n<10M")
    return f"""---
pretty_name: finops training data
license: apache-2.0
language:
- en
task_categories: [{", ".join(tasks)}]
size_categories:
- {size}
annotations_creators:
- machine-generated
source_datasets:
- original
tags: [settlement, post-trade, finance, synthetic]
configs:
{configs}
---

"""


def render_section(
    options: DatasetOptions,
    written: Written,
    judged: Sequence[Requirement],
    rules: str,
    command: str,
) -> str:
    """Describe one dataset: its origin, its files and the counts that it has to meet."""
    files = "\n".join(
        f"| {name} | {written.rows[name]:,} | `{digest}` |"
        for name, digest in written.digests.items()
    )
    proofs = "\n".join(f"| {each.name} | {_RESULT[each.met]} | {each.detail} |" for each in judged)
    return f"""## {options.stage}

{options.rows:,} rows, seed {options.seed}, profile {options.profile}, rules `{rules}`. This command makes the same bytes again:

    {command}

| file | rows | SHA-256 |
|---|---|---|
{files}

| requirement | result | counted |
|---|---|---|
{proofs}

"""  # noqa: E501 - a paragraph of Markdown is one line


def render_unknown_section(stage: str) -> str:
    """Describe files that no section of the card fits."""
    return f"""## {stage}

These files were changed since they were made, or an interrupted run or another program made them.
`finops dataset-report .` verifies and counts them.

"""


def read_sections(folder: Path) -> dict[str, str]:
    """Read the sections of the card in `folder` whose files are still those that they describe."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return {
        stage: section for stage, section in _SECTION.findall(text) if _is_true(section, folder)
    }


def _is_true(section: str, folder: Path) -> bool:
    files = _FILE.findall(section)
    return bool(files) and all(
        (folder / name).is_file() and sha256_of_file(folder / name)[0] == digest
        for name, digest in files
    )
