"""Whether a model still answers: held-out rows, asked as the desk asks, judged by the same checker, nothing repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.foundry.rows import Row, Stage
from finops_cli.foundry.sentiment_grammar import LABELS
from finops_cli.foundry.weights.architecture import Name
from finops_cli.kb.book import Book
from finops_cli.kb.load import data_folder
from finops_cli.models.gguf import read_head
from finops_cli.models.llama_cpp.opening import open_llama_cpp, profile, refuse_without_extra
from finops_cli.models.llama_cpp.process import NotLoaded, Process
from finops_cli.models.llama_cpp.wire import Say
from finops_cli.models.modelfile import read_modelfile, typed_parameters
from finops_cli.models.prompts import EMPTY_THINK
from finops_cli.models.protocol import Answer
from finops_cli.models.verified import Verified
from finops_cli.models.wanted import Wanted
from finops_cli.pipeline.blotter import lines_of
from finops_cli.verify.shapes import FAIL, RESOLVER_INPUT

R = TypeVar("R")
_UNREAD = ("reply.", "schema.")
"""Rules that an answer breaks which cannot be read."""


class Rates(Struct, frozen=True):
    """Of `rows` records, each asked about once: how many answers could be read, and in how many of them no fault was found."""

    rows: int
    readable: int
    exact: int


def held_out(path: Path, stage: Stage, count: int) -> list[Row]:
    """The first `count` rows of a generated evaluation set. Raises UsageError when there are none, or when one is of another set."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; the model is tried on held-out rows: `finops generate --stage {stage}` makes them, "
            "--eval FILE names them, --no-check leaves the trial out"
        )
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, (line, _) in enumerate(islice(lines_of(file), count), start=1):
            try:
                row = msgspec.json.decode(line, type=Row)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UsageError(f"{path}: line {number} is no row of a generated set: {error}") from error
            if (row.stage, row.split) != (stage, "eval"):
                raise UsageError(
                    f"{path}: line {number} is a {row.stage} row for {row.split}; --stage {stage} takes its eval set"
                )
            rows.append(row)
    if not rows:
        raise UsageError(f"{path}: holds no rows; `finops generate --stage {stage}` makes them")
    return rows


def try_model(path: Path, stage: Stage, rows: Sequence[Row], book: Book, watch: Callable[[int], None]) -> Rates:
    """Ask the model in the GGUF file `path` about each row. `watch` is told how many are done.

    Raises MissingPiece without llama-cpp-python, UsageError for a file that is no use, EverythingDown when the model keeps dying.
    """
    refuse_without_extra()
    verdicts = _sentiment(path, rows, book, watch) if stage == "sentiment" else _desk(path, stage, rows, book, watch)
    readable = sum(read for read, _ in verdicts)
    return Rates(len(rows), readable, sum(exact for _, exact in verdicts))


def _desk(path: Path, stage: Any, rows: Sequence[Row], book: Book, watch: Callable[[int], None]) -> list[tuple[bool, bool]]:
    named: dict[str, Any] = {f"{stage}_gguf": path}
    wanted = Wanted(backend="llama-cpp", stages=(stage,), on_violation="reject", **named)
    once = replace(book, answering=replace(book.answering, attempts=dict.fromkeys(book.answering.attempts, 1)))
    backend = Verified(open_llama_cpp(wanted, once), once, "reject")
    shape = FAIL if stage == "triage" else RESOLVER_INPUT
    records: list[Any] = [shape.read(exact_json.decode(row.record)) for row in rows]
    try:
        if None in records:
            raise UsageError(f"{rows[records.index(None)].id}: its record does not have the shape of stage {stage}")
        backend.prepare(stage)
        ask: Callable[[Any], Answer[Any]] = backend.triage if stage == "triage" else backend.resolve
        return [_verdict(answer) for answer in _side_by_side(ask, records, backend.lanes, watch)]
    finally:
        backend.close()


def _verdict(answer: Answer[Any]) -> tuple[bool, bool]:
    """Whether the answer could be read, and whether it was without fault."""
    broken = [rule for trouble in answer.troubles for rule in trouble.rules]
    return not any(rule.startswith(_UNREAD) for rule in broken), not broken and answer.status == "ok"


def _sentiment(path: Path, rows: Sequence[Row], book: Book, watch: Callable[[int], None]) -> list[tuple[bool, bool]]:
    """The third model has no verified loop: its one word is held against the label."""
    architecture = read_head(path).pairs.get("general.architecture")
    if architecture not in get_args(Name):
        raise UsageError(
            f"{path}: how {architecture} is asked for a sentiment is not known here; --no-check leaves the trial out"
        )
    how = profile(path, typed_parameters(read_modelfile(data_folder("modelfiles") / "sentiment.Modelfile")), "")
    seconds = book.answering.seconds
    process = Process(how.load)
    try:
        process.ready(seconds["load"])
    except NotLoaded as error:
        kind = UsageError if error.by_itself else MissingPiece
        raise kind(f"{path}: llama.cpp cannot load it: {error}; free some memory, or quantize another model") from error

    def word(row: Row) -> str:
        prompt = f"<|im_start|>user\n{row.prompt[0].content}<|im_end|>\n<|im_start|>assistant\n{EMPTY_THINK}"
        say = Say(0, prompt, book.answering.seed, how.sampling, how.stops, how.predict)
        return process.say(say, seconds["triage"], seconds["silence"]).text.strip()

    try:
        words = _side_by_side(word, rows, how.load.sequences * how.load.teams, watch)
        return [(said in LABELS, said == row.answer) for said, row in zip(words, rows, strict=True)]
    finally:
        process.stop()


def _side_by_side(ask: Callable[[Any], R], what: Iterable[Any], lanes: int, watch: Callable[[int], None]) -> list[R]:
    answers: list[R] = []
    pool = ThreadPoolExecutor(lanes)
    try:
        for answer in pool.map(ask, what):
            answers.append(answer)
            watch(len(answers))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an interrupted trial does not wait: whoever asks ends with the model
    return answers
