"""A stage that finops does not know becomes one by a row of the table: its data are generated,
verified, reported and graded like those of the three stages that ship.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace
from typer.testing import CliRunner

from finops_cli.cli import app
from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.rows import Row, differences, row_of
from finops_cli.datasets.splits import wanted
from finops_cli.datasets.stage_type import Features, Stage, TaskAnswers
from finops_cli.datasets.stages import STAGES, grade, task_of
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain import exact_json
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import STAGE_NAMES
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import Conversation
from finops_cli.models.tasks import Task, answer_schema
from finops_cli.models.verified_backend import parse_and_check
from finops_cli.verify.codecs import Codec


class Position(Struct, frozen=True):
    """The record of the toy stage: shares that are owed and shares that are there."""

    id: str
    owed: int
    held: int


class Cover(Struct, frozen=True):
    """The answer of the toy stage."""

    short: int
    covered: bool


POSITION = Codec("position", Position, {})
COVER = Codec("cover", Cover, {})
EVERY = 5


def cover(position: Position) -> Cover:
    short = max(0, position.owed - position.held)
    return Cover(short, short == 0)


def cover_task(position: Position, kb: KnowledgeBase, modelfile: str) -> Task[Cover]:
    reference = cover(position)

    def check(answer: Cover) -> list[Finding]:
        if answer == reference:
            return []
        return [Finding("cover.short", "/short", reference.short, answer.short, "short is wrong")]

    return Task(
        stage="toy",
        prompt=Conversation(f"Made for {modelfile}.", f"{position.owed} {position.held}", False),
        codec=COVER,
        reference=reference,
        check=check,
        repair=lambda answer, findings: reference,
    )


def make_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    held = (index * 7 + seed) % 10
    return row_of_position(Position(f"{wanted(index, EVERY)}-{index}", index, held), kb)


def row_of_position(position: Position, kb: KnowledgeBase) -> Row:
    answer = exact_json.encode(cover(position)).decode()
    return row_of(
        name=position.id,
        stage="toy",
        split="eval" if position.id.startswith("eval") else "train",
        asked=cover_task(position, kb, "toy").prompt,
        completion=answer,
        record=exact_json.encode(position).decode(),
        answer=answer,
    )


def verify(row: Row, kb: KnowledgeBase) -> list[Finding]:
    position = POSITION.read(exact_json.decode(row.record))
    if position is None:
        return [Finding("data.row", "/record", "a position", None, f"{row.id}: not a position")]
    return differences(row, row_of_position(position, kb))


def features(row: Row, kb: KnowledgeBase) -> Features:
    return [("covered", str(json.loads(row.answer)["covered"]))]


def requirements(
    counts: Mapping[str, Counter[str]], rows: int, profile: Profile, kb: KnowledgeBase
) -> Iterator[Requirement]:
    yield Requirement("both answers occur", len(counts["covered"]) == 2, f"of {rows}")


def decision(answer: Cover) -> object:
    return answer.covered


def forty(kb: KnowledgeBase) -> int:
    return 40


def every(kb: KnowledgeBase) -> int:
    return EVERY


TOY = Stage(
    name="toy",
    record_codec=POSITION,
    answers=TaskAnswers(cover_task, decision),
    decision_field="cover",
    make_row=make_row,
    verify_row=verify,
    features=features,
    default_rows=forty,
    eval_every=every,
    requirements=requirements,
    in_default_set=False,
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, TOY.name, TOY)


def _generate(folder: Path, *more: str) -> list[Row]:
    call = ["generate", "--stage", "toy", "-o", str(folder), "-q", *more]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "met      both answers occur: of 40" in result.output
    texts = [(folder / f"toy-{split}.jsonl").read_text() for split in ("train", "eval")]
    return [msgspec.json.decode(line, type=Row) for line in "".join(texts).splitlines()]


def test_toy_stage_generates_verified_rows(tmp_path: Path) -> None:
    """Its number of rows, its split and its card are as its row of the table says."""
    rows = _generate(tmp_path, "--workers", "1")
    assert Counter(row.split for row in rows) == {
        "train": 32,
        "eval": 8,
    }
    card = (tmp_path / "README.md").read_text()
    assert "config_name: toy" in card
    assert "| both answers occur | met | of 40 |" in card


def test_toy_stage_goes_to_worker_processes(tmp_path: Path) -> None:
    """A worker process receives the row of the table: the bytes are those of one process."""
    one, two = tmp_path / "one", tmp_path / "two"
    _generate(one, "--workers", "1")
    _generate(two, "--workers", "2")
    for name in ("toy-train.jsonl", "toy-eval.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_toy_stage_report_finds_a_changed_row(tmp_path: Path) -> None:
    """`dataset-report` verifies its rows and judges its requirements from the files."""
    _generate(tmp_path, "--workers", "1")
    good = CliRunner().invoke(app, ["dataset-report", str(tmp_path)])
    assert (good.exit_code, "toy: 40 rows, 0 bad" in good.output) == (0, True)
    file = tmp_path / "toy-eval.jsonl"
    file.write_text(file.read_text().replace('\\"held\\":', '\\"held\\":1', 1))
    bad = CliRunner().invoke(app, ["dataset-report", str(tmp_path)])
    assert (bad.exit_code, "toy-eval.jsonl:1: data.row" in bad.output) == (1, True)


def test_toy_stage_grades_answers(kb: KnowledgeBase) -> None:
    """Valid, exact and the same decision mean for it what they mean for every stage."""
    row = make_row(9, 7, kb, "coverage")
    assert row.answer == '{"short":9,"covered":false}'
    assert grade(row, row.answer, kb) == (True, True, True)
    assert grade(row, '{"short":3,"covered":false}', kb) == (True, False, True)
    assert grade(row, '{"short":0,"covered":true}', kb) == (True, False, False)
    assert grade(row, "I would rather not say", kb) == (False, False, False)
    with pytest.raises(UsageError, match="does not have the shape of stage toy"):
        grade(_with_record(row, "{}"), row.answer, kb)


def _with_record(row: Row, record: str) -> Row:
    return replace(row, record=record)


def test_toy_stage_has_prompt_codec_check_and_repair(kb: KnowledgeBase) -> None:
    """The task of its row is what a verified backend works with."""
    task = task_of(make_row(9, 7, kb, "coverage"), kb, "toy-small")
    assert task.prompt.system == "Made for toy-small."
    assert answer_schema(task.codec)["required"] == ["short", "covered"]
    reply = parse_and_check(task, 'Well: {"short": 3, "covered": false}', task.prompt.thinks)
    assert reply.answer == Cover(3, False)
    assert [finding.rule for finding in reply.findings] == ["cover.short"]
    assert task.repair(reply.answer, reply.findings) == Cover(9, False)


def test_unknown_stage_is_refused_by_name() -> None:
    """The message says what was given and what is accepted."""
    result = CliRunner().invoke(app, ["generate", "--stage", "poems"])
    assert result.exit_code == 2
    assert "'poems' is not one of 'triage', 'resolver', 'sentiment', 'toy'" in " ".join(
        result.output.replace("│", " ").split()
    )


def test_the_names_of_the_low_floor_are_those_of_the_table() -> None:
    assert tuple(name for name in STAGES if name != "toy") == STAGE_NAMES
