"""Whether a model file still answers: held-out rows, asked as the desk asks, judged by the same
checker, nothing repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import msgspec

from finops_cli.datasets.grading import NO_ANSWER, Grade, Scores, total
from finops_cli.datasets.rows import Row
from finops_cli.datasets.stage_type import LabelAnswers
from finops_cli.datasets.stages import grade, stage_named, task_of
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import ModelError
from finops_cli.models.gguf import read_head
from finops_cli.models.llama_cpp.connect import open_llama_cpp, profile, refuse_without_extra
from finops_cli.models.llama_cpp.messages import Generate
from finops_cli.models.llama_cpp.worker_process import NotLoaded, WorkerProcess
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.prompts import EMPTY_THINK
from finops_cli.models.protocol import CompletionRequest, ModelStage
from finops_cli.weights.architecture import Name


def held_out(path: Path, stage: StageName, count: int) -> list[Row]:
    """The first `count` rows of a generated evaluation set.

    Raises UsageError when there are none, or when one is of another set.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file",
            f"the model is tried on held-out rows: `finops generate --stage {stage}` makes them,"
            " --eval FILE names them, --no-check leaves the trial out",
        )
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, (line, _) in enumerate(islice(lines_of(file), count), start=1):
            try:
                row = msgspec.json.decode(line, type=Row)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"{path}: line {number} is no row of a generated set: {error}"
                ) from error
            if (row.stage, row.split) != (stage, "eval"):
                raise UsageError(
                    f"{path}: line {number} is a {row.stage} row for {row.split}; --stage {stage}"
                    " takes its eval set"
                )
            rows.append(row)
    if not rows:
        raise UsageError(f"{path}: holds no rows", f"`finops generate --stage {stage}` makes them")
    return rows


def try_model(
    path: Path,
    stage: StageName,
    rows: Sequence[Row],
    kb: KnowledgeBase,
    watch: Callable[[int], None],
) -> Scores:
    """Ask the model in the GGUF file `path` about each row. `watch` is told how many are done.

    Raises MissingPiece without llama-cpp-python, UsageError for a file that is no use,
    NoEndpointLeft when the model keeps dying.
    """
    refuse_without_extra()
    with _asking(path, stage, kb) as asking:

        def verdict(row: Row) -> Grade:
            try:
                return grade(row, asking.ask(row), kb)
            except ModelError:
                return NO_ANSWER

        return total(_side_by_side(verdict, rows, asking.concurrency, watch))


class _Asking(NamedTuple):
    """A model that is ready: `ask` completes the prompt of a row, or raises ModelError;
    `concurrency` rows are asked at once.
    """

    ask: Callable[[Row], str]
    concurrency: int


@contextmanager
def _asking(path: Path, stage: StageName, kb: KnowledgeBase) -> Iterator[_Asking]:
    has_backend = not isinstance(stage_named(stage).answers, LabelAnswers)
    with (
        _desk(path, cast(ModelStage, stage), kb) if has_backend else _chat(path, stage, kb)
    ) as asking:
        yield asking


@contextmanager
def _desk(path: Path, stage: ModelStage, kb: KnowledgeBase) -> Iterator[_Asking]:
    """As the desk asks for the first time; what it would do about the answer is left out."""
    named: dict[str, Any] = {f"{stage}_gguf": path}
    model = open_llama_cpp(BackendRequest(backend="llama-cpp", stages=(stage,), **named), kb)
    modelfile = model.modelfile(stage)

    def ask(row: Row) -> str:
        return model.complete(
            CompletionRequest(stage, task_of(row, kb, modelfile).prompt.text, kb.models.seed)
        ).text

    try:
        model.prepare(stage)
        yield _Asking(ask, model.concurrency)
    finally:
        model.close()


@contextmanager
def _chat(path: Path, stage: StageName, kb: KnowledgeBase) -> Iterator[_Asking]:
    """Ask a model that no backend serves: the prompt of its row, in the chat format of its
    architecture.
    """
    architecture = read_head(path).pairs.get("general.architecture")
    if architecture not in get_args(Name):
        raise UsageError(
            f"{path}: the chat format of {architecture} is not known here; --no-check"
            " leaves the trial out"
        )
    how = profile(
        path, typed_parameters(bundled.modelfile(bundled.made_for_by_file(stage, path))), ""
    )
    seconds = kb.models.timeouts
    process = WorkerProcess(how.load)

    def ask(row: Row) -> str:
        prompt = (
            f"<|im_start|>user\n{row.prompt[0].content}<|im_end|>\n<|im_start"
            f"|>assistant\n{EMPTY_THINK}"
        )
        say = Generate(0, prompt, kb.models.seed, how.sampling, how.stops, how.max_tokens)
        return process.say(say, seconds["triage"], seconds["silence"]).text

    try:
        process.ready(seconds["load"])
        yield _Asking(ask, how.load.sequences * how.load.groups)
    except NotLoaded as error:
        kind = UsageError if error.by_itself else MissingPiece
        raise kind(
            f"{path}: llama.cpp cannot load it: {error}",
            "free some memory, or quantize another model",
        ) from error
    finally:
        process.stop()


def _side_by_side(
    ask: Callable[[Row], Grade], what: Iterable[Row], concurrency: int, watch: Callable[[int], None]
) -> list[Grade]:
    answers: list[Grade] = []
    pool = ThreadPoolExecutor(concurrency)
    try:
        for answer in pool.map(ask, what):
            answers.append(answer)
            watch(len(answers))
    finally:
        pool.shutdown(
            wait=False, cancel_futures=True
        )  # an interrupted trial does not wait: whoever asks ends with the model
    return answers
