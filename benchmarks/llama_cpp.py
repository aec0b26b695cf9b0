"""Measure the llama.cpp backend: records a second, against a plain llama-cpp-python loop over the
same prompts.

    python -m benchmarks.llama_cpp [ROUNDS] [--gguf FILE] [--records N] [--tokens N]

The plain loop takes one record at a time and keeps what the last prompt had in common with the
next, as `Llama.generate` does; it runs with one thread and with one for each core, and the better
one counts. The model is work from as many threads as its concurrency allows. Both take the same
triage prompts at temperature 0 and at the sampling of the Modelfile, in turns; the best round of
each counts. Without --gguf they are the triage model that ships, whose answers end when they end,
and models of random weights, made here, whose answers never end, so that each has exactly N tokens.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp

from benchmarks.verification_loop import make_fails
from finops_cli.kb.load import bundled_dir, bundled_kb_dir, load_kb
from finops_cli.models import bundled
from finops_cli.models.failures import Truncated
from finops_cli.models.llama_cpp.connect import build_profile
from finops_cli.models.llama_cpp.model import LlamaCppModel
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.prompts import common_prefix, triage_prompt
from finops_cli.models.protocol import CompletionRequest, Origin
from finops_cli.verify.codecs import FAIL
from tests.support.tiny_gguf import Shape, write_tiny_gguf

SHAPES = {
    "2 layers of 64": Shape(ends=False),
    "4 layers of 192": Shape(layers=4, width=192, heads=3, feed_forward=512, ends=False),
}
BUNDLED = bundled_dir("bundled_models") / "tiny-triage.gguf"


class Work(NamedTuple):
    """The prompts and settings that both sides get."""

    prompts: list[str]
    prefix: str
    options: dict[str, Any]
    tokens: int


def prepare_work(
    records: int, tokens: int | None, temperature: float | None, modelfile: str
) -> Work:
    """`tokens` None: as many as the Modelfile allows."""
    prompts = [
        triage_prompt(fail, modelfile).text
        for line in make_fails(records)
        if (fail := FAIL.read_line(line)) is not None
    ]
    options = dict(typed_parameters(bundled.modelfile(modelfile)))
    options["num_predict"] = options["num_predict"] if tokens is None else tokens
    if temperature is not None:
        options["temperature"] = temperature
    return Work(prompts, common_prefix(modelfile), options, options["num_predict"])


def run_plain(gguf: Path, work: Work, threads: int) -> tuple[float, list[str]]:
    """Run the plain loop; returns its seconds and its answers."""
    options = work.options
    llama = llama_cpp.Llama(
        str(gguf),
        n_ctx=options["num_ctx"],
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )
    sampling = {
        "temp": options["temperature"],
        "top_k": options["top_k"],
        "top_p": options["top_p"],
        "min_p": 0.0,
    }
    answers = []
    started = time.perf_counter()
    for seed, prompt in enumerate(work.prompts, start=1):
        llama.set_seed(seed)
        tokens = llama.generate(
            llama.tokenize(prompt.encode(), add_bos=False, special=True),
            repeat_penalty=1.0,
            **sampling,
        )
        answer = itertools.takewhile(
            lambda token: token != llama.token_eos(), itertools.islice(tokens, work.tokens)
        )
        answers.append(llama.detokenize(list(answer), special=True).decode("utf-8", "replace"))
    taken = time.perf_counter() - started
    llama.close()
    return taken, answers


def run_backend(model: LlamaCppModel, work: Work) -> tuple[float, list[str]]:
    """Run the backend, its model loaded; returns its seconds and its answers."""

    def complete(seed: int) -> str:
        try:
            return model.complete(CompletionRequest("triage", work.prompts[seed - 1], seed)).text
        except Truncated as cut:
            return cut.received

    with ThreadPoolExecutor(model.concurrency) as threads:
        started = time.perf_counter()
        answers = list(threads.map(complete, range(1, len(work.prompts) + 1)))
        return time.perf_counter() - started, answers


def compare(name: str, gguf: Path, work: Work, rounds: int) -> None:
    """Print one row."""
    kb = load_kb(bundled_kb_dir())
    model = LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles={"triage": build_profile(gguf, work.options, work.prefix)},
        settings=kb.models,
    )
    model.prepare("triage")
    best: dict[str, float] = {}
    same = 0
    for _ in range(rounds):
        taken, answers = run_backend(model, work)
        best["ours"] = min(taken, best.get("ours", taken))
        for threads in sorted({1, os.cpu_count() or 1}):
            taken, expected = run_plain(gguf, work, threads)
            best[str(threads)] = min(taken, best.get(str(threads), taken))
        same = sum(
            answer == words.rstrip("\ufffd") or answer == words
            for answer, words in zip(answers, expected, strict=True)
        )
    model.close()
    count, ours = len(work.prompts), best.pop("ours")
    loops = " / ".join(f"{count / taken:,.1f}" for taken in best.values())
    rates = f"{count / ours:,.1f} | {loops} | {min(best.values()) / ours:.2f}"
    print(f"| {name} | {work.options['temperature']} | {rates} | {same} of {count} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--records", type=int, default=120)
    parser.add_argument("--tokens", type=int, default=110)
    given = parser.parse_args()
    print(
        "| model | temperature | model, records/s | plain loop, 1 thread / all | ratio | equal"
        " answers |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: write_tiny_gguf(Path(folder) / f"{n}.gguf", shape=shape)
            for n, (name, shape) in enumerate(SHAPES.items())
        }
        work: dict[str, tuple[Path, int | None, str]] = {
            "bundled triage model": (BUNDLED, None, "tiny-triage")
        }
        work |= {name: (gguf, given.tokens, "triage") for name, gguf in models.items()}
        if given.gguf:
            work = {given.gguf.name: (given.gguf, given.tokens, "triage")}
        for name, (gguf, tokens, modelfile) in work.items():
            for temperature in (
                (0.0,) if modelfile == "tiny-triage" else (0.0, None)
            ):  # that one's Modelfile says 0 itself
                compare(
                    name,
                    gguf,
                    prepare_work(given.records, tokens, temperature, modelfile),
                    given.rounds,
                )


if __name__ == "__main__":
    main()
