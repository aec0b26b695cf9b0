"""The bundled rules as JSON, which is read in place of their TOML."""

from __future__ import annotations

import shutil
from pathlib import Path

from finops_cli.kb.load import bundled_kb_dir, load_kb


def test_parsed_rules_hold_what_their_toml_holds(tmp_path: Path) -> None:
    """Rule: the JSON of the bundled files gives the entries of their TOML, digit for digit."""
    own = shutil.copytree(bundled_kb_dir(), tmp_path / "kb")
    for file in own.glob("*.toml"):
        with file.open("a") as text:
            text.write("# another digest\n")
    read, parsed = load_kb(own).entries, load_kb(bundled_kb_dir()).entries
    assert {name: repr(entry) for name, entry in parsed.items()} == {
        name: repr(entry) for name, entry in read.items()
    }


def test_changed_file_of_rules_is_read_from_its_toml(tmp_path: Path) -> None:
    """Rule: a changed file is read as TOML, whatever the JSON of the bundled one says."""
    own = shutil.copytree(bundled_kb_dir(), tmp_path / "kb")
    file = own / "gridlock.toml"
    file.write_text(file.read_text().replace('title = "', 'title = "Our ', 1))
    assert load_kb(own).entries["gridlock.signals"].title == "Our Gridlock signals S1-S4"
