"""Fixtures of the tests of --backend openai."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from finops_cli.devtools.fake_openai import FakeOpenAI


@pytest.fixture
def vllm() -> Iterator[FakeOpenAI]:
    """A fake vLLM with the three models."""
    with FakeOpenAI() as running:
        yield running
