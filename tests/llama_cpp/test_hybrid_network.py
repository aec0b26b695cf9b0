"""A hybrid network such as Qwen3.5, whose layers keep a state: it decodes several requests at once
without drafts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.models.llama_cpp.messages import Sampling
from tests.support.llama_models import LocalDecoder, agrees, make_requests, plain_loop, prompts
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
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_k=20, top_p=0.8)])
def test_hybrid_network_answers_equal_the_plain_loop(
    sequences: int, sampling: Sampling, hybrid: Path
) -> None:
    """A hybrid network gives the answers of the plain loop with shared prefix and changing slots,
    and cannot rewind.
    """
    decoder, plain = LocalDecoder(hybrid, sequences), plain_loop(hybrid)
    assert not decoder.network.can_rewind
    requests = make_requests(prompts(8, seed=21), sampling=sampling)
    results = decoder.answers(requests)
    loop = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    assert [
        request.number
        for request in requests
        if not agrees(results[request.number], plain(request.prompt, seed=request.seed, **loop))
    ] == []
    assert len({answer.text for answer in results.values()}) == len(
        requests
    )  # or nothing was compared
