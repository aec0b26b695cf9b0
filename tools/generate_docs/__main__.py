"""Write the generated pages and schemas, or say with `--check` which of them are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.generate_docs import commands, glossary, layers, objects, parsed_rules, rules

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ("fail", "triage", "resolver-input", "resolution", "run", "mapping", "recipe")
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/commands.md": commands.render_page,
    "docs/reference/rules.md": rules.render_page,
    "docs/reference/output.md": objects.render_output_page,
    "docs/reference/records.md": objects.render_records_page,
    "docs/glossary.md": glossary.render_page,
    "docs/images/layers.svg": layers.render_picture,
    **{f"kb/schemas/{name}.schema.json": partial(commands.render_schema, name) for name in SCHEMAS},
    "kb/parsed.json": parsed_rules.render,
    "README.md": lambda: commands.fill_table((ROOT / "README.md").read_text()),
}


def find_stale_pages(root: Path = ROOT) -> list[str]:
    """Find the pages under `root` that differ from what the code gives."""
    return [
        page
        for page, render in PAGES.items()
        if not (root / page).is_file() or (root / page).read_text() != render()
    ]


def main() -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(prog="tools.generate_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; 1 if a page is stale.")
    only_check = parser.parse_args().check
    stale = find_stale_pages()
    for page in stale:
        if only_check:
            print(f"{page} is stale. Fix: just generate", file=sys.stderr)
        else:
            (ROOT / page).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / page).write_text(PAGES[page]())
            print(page)
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
