"""A network like Qwen3.5's, most of whose layers keep a state instead of keys: decoded several at
once, and never guessed ahead.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.models.llama_cpp.messages import Sampling
from tests.support.llama_models import Round, agrees, asks, plain_loop, prompts
from tests.support.plain_checkpoints import QWEN35, write_checkpoint

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from finops_cli.weights.checkpoint import read_checkpoint
    from finops_cli.weights.convert import ModelName, convert, plan_conversion

    folder = tmp_path_factory.mktemp("hybrid")
    planned = plan_conversion(read_checkpoint(write_checkpoint(folder / "base", QWEN35)), None)
    convert(
        planned, folder / "hybrid.gguf", "f32", ModelName("hybrid", None), lambda done, total: None
    )
    return folder / "hybrid.gguf"


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, 20, 0.8)])
def test_answers_are_those_of_the_plain_loop(
    sequences: int, sampling: Sampling, hybrid: Path
) -> None:
    """The prefix is forked with its state, seats change hands, and no token is ever taken back."""
    round, plain = Round(hybrid, sequences), plain_loop(hybrid)
    assert not round.network.can_rewind
    asked = asks(prompts(8, seed=21), sampling=sampling)
    said = round.answers(asked)
    loop = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    assert [
        say.number
        for say in asked
        if not agrees(said[say.number], plain(say.prompt, seed=say.seed, **loop))
    ] == []
    assert len({answer.text for answer in said.values()}) == len(asked)  # or nothing was compared
