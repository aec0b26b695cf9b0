"""The worker process: its answers equal those of transformers, alone and in a batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain.sentiment import LABELS
from finops_cli.models.llama_cpp.messages import Generate, GenerationResult, Load, Sampling
from finops_cli.models.llama_cpp.worker_process import NotLoaded, WorkerProcess
from finops_cli.models.prompts import sentiment_text
from finops_cli.models.transformers.connect import WORKER_COMMAND

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # torch and its friends warn of their own plans
]

PROMPTS = ["a", "The counterparty fails", "<|im_start|>user\nHello there, 123<|im_end|>\n"]
TOKENS = 12
Start = Callable[[Load], WorkerProcess]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.tiny_checkpoints import save_qwen3

    return save_qwen3(tmp_path_factory.mktemp("qwen3"))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.tiny_checkpoints import save_qwen35

    return save_qwen35(tmp_path_factory.mktemp("qwen35"))


@pytest.fixture
def start() -> Iterator[Start]:
    """Start workers, and end them after the test."""
    begun: list[WorkerProcess] = []

    def started(load: Load) -> WorkerProcess:
        begun.append(WorkerProcess(load, WORKER_COMMAND))
        begun[-1].ready(120)
        return begun[-1]

    yield started
    for process in begun:
        process.stop()


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[WorkerProcess]:
    """A process that the tests share, because importing torch takes seconds."""
    process = WorkerProcess(Load(path=str(folder), context=256, sequences=3), WORKER_COMMAND)
    process.ready(120)
    yield process
    process.stop()


def ask(
    process: WorkerProcess, prompt: str, tokens: int = TOKENS, **request: Any
) -> GenerationResult:
    seed = request.pop("seed", 1)
    asked = Generate(number=0, prompt=prompt, seed=seed, max_tokens=tokens, **request)
    return process.generate(asked, 60, 60)


def ask_all(process: WorkerProcess, prompts: list[str], **request: Any) -> list[str]:
    """Ask at once, so that the prompts share batches."""
    with ThreadPoolExecutor(len(prompts)) as pool:
        return [each.text for each in pool.map(lambda one: ask(process, one, **request), prompts)]


def reference(folder: Path, prompt: str, adapter: Path | None = None) -> str:
    """Generate with transformers alone, one prompt at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).eval()
    ids = tokens(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        made = model.generate(input_ids=ids, max_new_tokens=TOKENS, do_sample=False)
    text: str = tokens.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    return text.removesuffix("\ufffd")


@pytest.mark.parametrize("network", ["folder", "hybrid"])
def test_batch_gives_the_texts_of_transformers(
    network: str, start: Start, request: pytest.FixtureRequest
) -> None:
    """Greedy answers to prompts of different lengths in one batch are those of transformers."""
    place = request.getfixturevalue(network)
    process = start(Load(path=str(place), context=256, sequences=3))
    expected = [reference(place, prompt) for prompt in PROMPTS]
    assert len(set(expected)) > 1
    found = ask_all(process, PROMPTS)
    assert [each.rstrip("\ufffd") for each in found] == [each.rstrip("\ufffd") for each in expected]


def test_adapter_changes_the_answers_as_in_peft(folder: Path, start: Start, tmp_path: Path) -> None:
    """A model with an adapter answers as PEFT does, and not as its base."""
    pytest.importorskip("peft")
    from tests.support.tiny_checkpoints import save_adapter

    adapter = save_adapter(folder, tmp_path / "adapter")
    process = start(Load(path=str(folder), context=256, adapter=str(adapter)))
    assert [ask(process, prompt).text.rstrip("\ufffd") for prompt in PROMPTS] == [
        reference(folder, prompt, adapter).rstrip("\ufffd") for prompt in PROMPTS
    ]
    assert ask(process, PROMPTS[1]).text.rstrip("\ufffd") != reference(folder, PROMPTS[1])


def test_schema_holds_the_answer_from_the_first_token(worker: WorkerProcess) -> None:
    """A model of random weights writes JSON that matches the schema."""
    schema = {"type": "object", "properties": {"tier": {"enum": ["HIGH", "LOW"]}},
              "required": ["tier"], "additionalProperties": False}  # fmt: skip
    texts = ask_all(worker, PROMPTS, tokens=200, schema=json.dumps(schema).encode())
    assert {json.loads(text)["tier"] for text in texts} <= {"HIGH", "LOW"}


def test_equal_seeds_give_equal_texts(worker: WorkerProcess) -> None:
    """Sampling follows the seed of the request, whatever shares its batch."""
    hot = Sampling(temperature=1.5, top_k=0, top_p=1.0)
    alone = ask(worker, PROMPTS[1], sampling=hot, seed=5).text
    assert ask_all(worker, [PROMPTS[1], *PROMPTS], sampling=hot, seed=5)[0] == alone
    assert ask(worker, PROMPTS[1], sampling=hot, seed=6).text != alone


def test_ends_of_an_answer_are_told_apart(worker: WorkerProcess) -> None:
    """A stop text ends an answer and is left out; a limit, a long prompt and an empty prompt have
    ends of their own.
    """
    prompt = next(one for one in PROMPTS if ask(worker, one).end == "length")
    whole = ask(worker, prompt)
    assert whole.tokens == TOKENS
    part = whole.text[2:4]
    stopped = ask(worker, prompt, stops=(part,))
    assert (stopped.end, stopped.text) == ("stop", whole.text[: whole.text.find(part)])
    assert ask(worker, "word " * 200).end == "context"
    assert ask(worker, "").end == "refused"


def test_logits_of_single_tokens_are_exact(folder: Path, worker: WorkerProcess) -> None:
    """The logits of choices of one token are those of the model after the prompt."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    choices = ("a", "b", "c")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: ask(worker, one, choices=choices), PROMPTS))
    for prompt, result in zip(PROMPTS, found, strict=True):
        with torch.inference_mode():
            logits = model(tokens(prompt, return_tensors="pt").input_ids).logits[0, -1]
        expected = [float(logits[tokens(choice).input_ids[0]]) for choice in choices]
        assert result.choice_logits == pytest.approx(expected, abs=1e-3)
        assert result.text == choices[max(range(3), key=expected.__getitem__)]
        assert result.are_whole


def test_logits_of_longer_choices_are_sums(folder: Path, worker: WorkerProcess) -> None:
    """A choice of several tokens has the logarithm of the probability of all of them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    result = ask(worker, PROMPTS[1], choices=LABELS)
    prompt = tokens(PROMPTS[1]).input_ids
    expected = []
    for label in LABELS:
        ids = tokens(label).input_ids
        with torch.inference_mode():
            rows = model(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
        expected.append(sum(float(rows[len(prompt) - 1 + at, id_]) for at, id_ in enumerate(ids)))
    assert any(len(tokens(label).input_ids) > 1 for label in LABELS)
    assert result.choice_logits == pytest.approx(expected, abs=1e-3)
    assert result.are_whole


def test_mistral_gets_the_turns_of_its_own_template(start: Start, tmp_path: Path) -> None:
    """A tokenizer without ChatML gets the turns by its own template; a turn that the template
    refuses is an answer of its own, not the end of the process.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.support.other_networks import save_mistral

    folder = save_mistral(tmp_path / "m")
    process = start(Load(path=str(folder), context=512))
    text = sentiment_text("Profit rose 4 percent.")
    tokens = AutoTokenizer.from_pretrained(folder)
    turn = text.partition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
    rendered = tokens.apply_chat_template(
        [{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True
    )
    assert rendered.startswith("<s>[INST] ")
    ids = tokens(rendered, add_special_tokens=False, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        made = model.generate(input_ids=ids, max_new_tokens=TOKENS, do_sample=False)
    found = ask(process, text)
    assert found.prompt_tokens == ids.shape[1]
    expected = tokens.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    assert found.text.strip().rstrip("\ufffd") == expected.strip().rstrip("\ufffd")
    refused = ask(process, "<|im_start|>system\nx<|im_end|>\n<|im_start|>user\ny<|im_end|>\n")
    assert (refused.end, "chat template" in refused.text) == ("refused", True)


def test_four_bits_need_cuda(folder: Path) -> None:
    """On a machine without CUDA the process refuses 4 bits, and names the way without them."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    process = WorkerProcess(Load(path=str(folder), context=64, load_in_4bit=True), WORKER_COMMAND)
    with pytest.raises(NotLoaded, match="need a CUDA GPU") as failed:
        process.ready(120)
    assert failed.value.by_itself


def test_damaged_weights_are_reported_not_fatal(folder: Path, tmp_path: Path) -> None:
    """A folder whose weights cannot be read gives a reason."""
    import shutil

    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    process = WorkerProcess(Load(path=str(broken), context=64), WORKER_COMMAND)
    with pytest.raises(NotLoaded) as failed:
        process.ready(120)
    assert failed.value.by_itself
