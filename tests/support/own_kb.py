"""A desk's own knowledge base: the bundled one with one text replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from finops_cli.kb.load import bundled_kb_dir


def change_kb(folder: Path, file: str, old: str, new: str) -> Path:
    """Copy the bundled knowledge base into `folder`, replace `old` in `file`, return the copy."""
    copy = Path(shutil.copytree(bundled_kb_dir(), folder / "kb"))
    text = (copy / file).read_text("utf-8")
    assert text.count(old) == 1, old
    (copy / file).write_text(text.replace(old, new), "utf-8")
    return copy
