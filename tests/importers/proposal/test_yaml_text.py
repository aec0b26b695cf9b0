"""YAML that the proposal writes reads back as the same texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.files.user_files import read_yaml
from finops_cli.importers.proposal.yaml_text import comment, entry

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "Yes",
        "no",
        "#3",
        "a: b",
        "- x",
        "{",
        "'",
        '"',
        " lead",
        "trail ",
        "\u2028",
        "0352",
        "<<",
        "~",
    ]
)
VALUES = st.one_of(
    TEXTS,
    st.lists(TEXTS, min_size=1, max_size=3),
    st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=2), min_size=1, max_size=3),
)


def _read(lines: list[str], folder: Path) -> Any:
    file = folder / "mapping.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return read_yaml(file, all_text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for all examples."""
    return tmp_path_factory.mktemp("yaml")


@given(key=TEXTS, value=VALUES, words=TEXTS)
def test_entry_with_a_comment_reads_back_as_its_value(
    key: str, value: Any, words: str, folder: Path
) -> None:
    """The YAML keeps whatever texts a file has as headers and cells; comments hide none."""
    text = _read([*comment(words), *entry(key, value)], folder)
    assert text == {key: value}


def test_rules_of_a_decision_have_a_line_each(folder: Path) -> None:
    """Several columns that decide a field are written as a list of rules."""
    value = {"when": [{"if": {"CNS": ["Y"], "B/S": ["S", ""]}, "then": "FTD"}, {"then": "N_A"}]}
    lines = entry("cns_direction", value)
    assert len(lines) == 4
    assert _read(lines, folder) == {"cns_direction": value}
