"""The files of settings beside the recipe of sentiment."""

from __future__ import annotations

from typing import Any

import pytest

from finops_cli.training.recipe import RecipeRequest, resolve_recipe
from tests.support.program import ROOT


@pytest.mark.parametrize(
    ("file", "preset", "parts"),
    [
        ("mistral", None, {"base.shape": "mistral-7b", "base.pad_token": "<unk>"}),
        ("tiny-sentiment", "tiny-cpu", {"training.optimizer": "muon", "data.format": "varied"}),
    ],
)
def test_bundled_settings_give_a_consistent_recipe(
    file: str, preset: str | None, parts: dict[str, Any]
) -> None:
    """The files of settings are valid over the recipe, and change what they are for."""
    path = ROOT / f"training/{file}.yaml"
    found = resolve_recipe(RecipeRequest("sentiment", preset, path, ()))
    values = {setting.key: setting.value for setting in found.table}
    assert values.items() >= parts.items()
