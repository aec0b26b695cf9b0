"""A Mistral as a GGUF file: llama.cpp splits texts and computes logits as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[train]'")
pytest.importorskip("transformers", reason="needs transformers: pip install -e '.[train]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")

from finops_cli.errors import UsageError  # noqa: E402
from finops_cli.models.llama_cpp.messages import Generate, GenerationResult, Load  # noqa: E402
from finops_cli.models.llama_cpp.worker_process import (  # noqa: E402
    WORKER_COMMAND as LLAMA_CPP,
)
from finops_cli.models.llama_cpp.worker_process import WorkerProcess  # noqa: E402
from finops_cli.models.prompts import sentiment_text  # noqa: E402
from finops_cli.models.transformers.connect import WORKER_COMMAND as TRANSFORMERS  # noqa: E402
from tests.quantization.test_logits import (  # noqa: E402
    CLOSE,
    convert_model,
    largest_difference,
    open_llama,
)
from tests.support.other_networks import SPACE, save_mistral  # noqa: E402
from tests.support.tiny_checkpoints import AWKWARD, save_adapter  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # other people's libraries, of several versions
TEXTS = [text for text in AWKWARD if text and "<|" not in text]
"""Texts without the turns of ChatML, which llama.cpp reads as control tokens in any vocabulary."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mistral(tmp_path_factory.mktemp("mistral") / "model")


def test_mistral_logits_equal_transformers(folder: Path, tmp_path: Path) -> None:
    """In float32 the logits equal those of transformers, alone and with a merged adapter."""
    assert largest_difference(folder, convert_model(folder, tmp_path / "m.gguf")) < CLOSE
    adapter = save_adapter(folder, tmp_path / "adapter")
    merged = convert_model(folder, tmp_path / "a.gguf", adapter=adapter)
    assert largest_difference(folder, merged, adapter) < CLOSE


def test_mistral_texts_are_split_alike(folder: Path, tmp_path: Path) -> None:
    """llama.cpp splits every text into the tokens of transformers, also bytes that no token has."""
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)
    model = open_llama(convert_model(folder, tmp_path / "m.gguf"))
    for text in [*TEXTS, "<s>[INST] a  b [/INST] negative</s>", "Profit rose 3 %."]:
        expected = tokens(text, add_special_tokens=False).input_ids
        assert model.tokenize(text.encode(), add_bos=False, special=True) == expected, text
    model.close()


def ask(
    command: tuple[str, ...], path: Path, choices: tuple[str, ...]
) -> tuple[GenerationResult, GenerationResult]:
    """Ask a worker for a text, and for the logits of choices."""
    process = WorkerProcess(Load(path=str(path), context=512), command)
    asked = Generate(number=0, prompt=sentiment_text("Profit rose 3 %."), seed=1, max_tokens=6)
    try:
        process.ready(120)
        text = process.generate(asked, 60, 60)
        return text, process.generate(replace(asked, choices=choices), 60, 60)
    finally:
        process.stop()


@pytest.mark.slow
def test_both_runtimes_get_the_same_turns(folder: Path, tmp_path: Path) -> None:
    """The prompt of sentiment becomes the turns of Mistral in llama.cpp and in transformers: as
    many tokens, the same answer, and the same logits of words.
    """
    from transformers import AutoTokenizer

    pytest.importorskip("llguidance")
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    words = [word[1:] for word in sorted(vocabulary) if word[0] == SPACE and word[1:].isalpha()]
    ours = ask(LLAMA_CPP, convert_model(folder, tmp_path / "m.gguf"), tuple(words[:3]))
    theirs = ask(TRANSFORMERS, folder, tuple(words[:3]))
    assert [each.prompt_tokens for each in ours] == [each.prompt_tokens for each in theirs]
    assert ours[0].text.strip("\ufffd ") == theirs[0].text.strip("\ufffd ")
    assert ours[1].choice_logits == pytest.approx(theirs[1].choice_logits, abs=0.05)


def change_tokenizer(folder: Path, target: Path, change: Any) -> Path:
    """Copy a model with another tokenizer.json."""
    import shutil

    shutil.copytree(folder, target)
    content = json.loads((target / "tokenizer.json").read_text())
    change(content)
    (target / "tokenizer.json").write_text(json.dumps(content))
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file["model"]["merges"].pop(), "merges. Expected"),
        (
            lambda file: file["model"]["merges"].append(file["model"]["merges"][0]),
            "not sorted by their token",
        ),
        (lambda file: file.update(normalizer={"type": "NFKC"}), "unsupported way"),
        (lambda file: file["model"]["vocab"].pop("<0x41>"), "no token for each byte"),
    ],
)
def test_tokenizer_that_is_not_of_mistral_is_refused(
    change: Any, message: str, folder: Path, tmp_path: Path
) -> None:
    """A tokenizer whose merges llama.cpp would apply differently is refused by its file."""
    with pytest.raises(UsageError, match=message):
        convert_model(change_tokenizer(folder, tmp_path / "m", change), tmp_path / "m.gguf")
