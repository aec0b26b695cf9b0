"""Check the accuracy of a model file on held-out rows, asked as `finops run` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from finops_cli.datasets.grading import NO_ANSWER, Grade, Scores, total
from finops_cli.datasets.rows import Row
from finops_cli.datasets.stage_type import LabelAnswers
from finops_cli.datasets.stages import grade, stage_named, task_of
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import ModelError
from finops_cli.models.gguf import read_head
from finops_cli.models.llama_cpp.connect import build_profile, open_llama_cpp, refuse_without_extra
from finops_cli.models.llama_cpp.messages import Generate
from finops_cli.models.llama_cpp.worker_process import NotLoaded, WorkerProcess
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.prompts import EMPTY_THINK
from finops_cli.models.protocol import CompletionRequest
from finops_cli.weights.architecture import Name


def read_held_out(path: Path, stage: StageName, count: int) -> list[Row]:
    """Read the first `count` rows of a generated evaluation set.

    Raises UsageError if the file has no rows, or a row of another set.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file of held-out rows",
            "make it with `finops generate --stage"
            f" {stage}`, name it with --eval FILE, or skip the accuracy check with --no-check",
        )
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, (line, _) in enumerate(islice(lines_of(file), count), start=1):
            try:
                row = msgspec.json.decode(line, type=Row)
            except UNREADABLE as error:
                raise UsageError(
                    f"{path}: line {number} is not a row of a generated set: {error}",
                    "give a file that `finops generate` wrote",
                ) from error
            if (row.stage, row.split) != (stage, "eval"):
                raise UsageError(
                    f"{path}: line {number} is a {row.stage} row of the {row.split} split. Expected"
                    f" the eval split of --stage {stage}."
                )
            rows.append(row)
    if not rows:
        raise UsageError(f"{path} has no rows", f"make them with `finops generate --stage {stage}`")
    return rows


def check_accuracy(
    path: Path,
    stage: StageName,
    rows: Sequence[Row],
    kb: KnowledgeBase,
    watch: Callable[[int], None],
) -> Scores:
    """Grade the answers of the model in the GGUF file `path` to each row.

    `watch` receives the number of finished rows. Raises MissingPiece if llama-cpp-python is not
    installed, UsageError for an unusable file, NoEndpointLeft if the model keeps crashing.
    """
    refuse_without_extra()
    with _open_model(path, stage, kb) as model:

        def answer_and_grade(row: Row) -> Grade:
            try:
                return grade(row, model.ask(row), kb)
            except ModelError:
                return NO_ANSWER

        return total(_grade_concurrently(answer_and_grade, rows, model.concurrency, watch))


class _ReadyModel(NamedTuple):
    """A loaded model."""

    ask: Callable[[Row], str]
    """Return the answer to a row. Raises ModelError."""
    concurrency: int
    """The number of rows that are asked at once."""


@contextmanager
def _open_model(path: Path, stage: StageName, kb: KnowledgeBase) -> Iterator[_ReadyModel]:
    if isinstance(stage_named(stage).answers, LabelAnswers):
        opened = _open_chat_model(path, stage, kb)
    else:
        opened = _open_stage_model(path, stage, kb)
    with opened as model:
        yield model


@contextmanager
def _open_stage_model(path: Path, stage: StageName, kb: KnowledgeBase) -> Iterator[_ReadyModel]:
    """Open a model that `finops run` uses. It is asked as on the first attempt, without repair."""
    request = BackendRequest(backend="llama-cpp", stages=(stage,), ggufs={stage: path})
    model = open_llama_cpp(request, kb)
    modelfile = model.modelfile(stage)

    def ask(row: Row) -> str:
        return model.complete(
            CompletionRequest(stage, task_of(row, kb, modelfile).prompt.text, kb.models.seed)
        ).text

    try:
        model.prepare(stage)
        yield _ReadyModel(ask, model.concurrency)
    finally:
        model.close()


@contextmanager
def _open_chat_model(path: Path, stage: StageName, kb: KnowledgeBase) -> Iterator[_ReadyModel]:
    """Open a model that no backend serves. It gets the prompt of the row as a chat message."""
    architecture = read_head(path).pairs.get("general.architecture")
    if architecture not in get_args(Name):
        raise UsageError(
            f"{path}: the prompt format of {architecture} is unknown",
            "skip the accuracy check with --no-check",
        )
    how = build_profile(
        path, typed_parameters(bundled.modelfile(bundled.read_prompt_modelfile(stage, path))), ""
    )
    seconds = kb.models.timeouts
    process = WorkerProcess(how.load)

    def ask(row: Row) -> str:
        prompt = (
            f"<|im_start|>user\n{row.prompt[0].content}<|im_end|>\n<|im_start"
            f"|>assistant\n{EMPTY_THINK}"
        )
        say = Generate(
            number=0,
            prompt=prompt,
            seed=kb.models.seed,
            sampling=how.sampling,
            stops=how.stops,
            max_tokens=how.max_tokens,
        )
        return process.generate(say, seconds["triage"], seconds["silence"]).text

    try:
        process.ready(seconds["load"])
        yield _ReadyModel(ask, how.load.sequences * how.load.groups)
    except NotLoaded as error:
        kind = UsageError if error.by_itself else MissingPiece
        raise kind(
            f"{path}: llama.cpp cannot load it: {error}",
            "free some memory, or quantize another model",
        ) from error
    finally:
        process.stop()


def _grade_concurrently(
    grade_row: Callable[[Row], Grade],
    rows: Iterable[Row],
    concurrency: int,
    watch: Callable[[int], None],
) -> list[Grade]:
    grades: list[Grade] = []
    pool = ThreadPoolExecutor(concurrency)
    try:
        for each in pool.map(grade_row, rows):
            grades.append(each)
            watch(len(grades))
    finally:
        # an interrupted check does not wait: the requests end when the model stops
        pool.shutdown(wait=False, cancel_futures=True)
    return grades
