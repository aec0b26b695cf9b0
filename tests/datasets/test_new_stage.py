"""A stage from outside the package: one row of a table makes its data generated, verified, reported
and graded.
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
from finops_cli.datasets.splits import intended_split
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
    """The record of the toy stage: shares owed and shares available."""

    id: str
    owed: int
    available: int


class Cover(Struct, frozen=True):
    """The answer of the toy stage."""

    short: int
    covered: bool


POSITION = Codec("position", Position, {})
COVER = Codec("cover", Cover, {})
EVERY = 5


def cover(position: Position) -> Cover:
    short = max(0, position.owed - position.available)
    return Cover(short, short == 0)


def cover_task(position: Position, kb: KnowledgeBase, modelfile: str) -> Task[Cover]:
    reference = cover(position)

    def check(answer: Cover) -> list[Finding]:
        if answer == reference:
            return []
        return [
            Finding(
                rule="cover.short",
                path="/short",
                expected=reference.short,
                actual=answer.short,
                message="short is wrong",
            )
        ]

    return Task(
        stage="toy",
        prompt=Conversation(
            f"Made for {modelfile}.", f"{position.owed} {position.available}", False
        ),
        codec=COVER,
        reference=reference,
        check=check,
        repair=lambda answer, findings: reference,
    )


def make_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    available = (index * 7 + seed) % 10
    return row_of_position(
        Position(f"{intended_split(index, EVERY)}-{index}", index, available), kb
    )


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
        return [
            Finding(
                rule="data.row",
                path="/record",
                expected="a position",
                actual=None,
                message=f"{row.id}: not a position",
            )
        ]
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


def generate(folder: Path, *more: str) -> list[Row]:
    call = ["generate", "--stage", "toy", "-o", str(folder), "-q", *more]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "met      both answers occur: of 40" in result.output
    texts = [(folder / f"toy-{split}.jsonl").read_text() for split in ("train", "eval")]
    return [msgspec.json.decode(line, type=Row) for line in "".join(texts).splitlines()]


def test_new_stage_generates_rows_split_and_card(tmp_path: Path) -> None:
    """A new stage gets the rows, the split and the card that its row of the table defines."""
    rows = generate(tmp_path, "--workers", "1")
    assert Counter(row.split for row in rows) == {
        "train": 32,
        "eval": 8,
    }
    card = (tmp_path / "README.md").read_text()
    assert "config_name: toy" in card
    assert "| both answers occur | met | of 40 |" in card


def test_new_stage_in_two_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two worker processes generate the bytes that one process generates."""
    one, two = tmp_path / "one", tmp_path / "two"
    generate(one, "--workers", "1")
    generate(two, "--workers", "2")
    for name in ("toy-train.jsonl", "toy-eval.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_dataset_report_of_a_new_stage_finds_a_changed_row(tmp_path: Path) -> None:
    """`finops dataset-report` verifies the rows and requirements of a new stage."""
    generate(tmp_path, "--workers", "1")
    good = CliRunner().invoke(app, ["dataset-report", str(tmp_path)])
    assert (good.exit_code, "toy: 40 rows, 0 bad" in good.output) == (0, True)
    file = tmp_path / "toy-eval.jsonl"
    file.write_text(file.read_text().replace('\\"available\\":', '\\"available\\":1', 1))
    bad = CliRunner().invoke(app, ["dataset-report", str(tmp_path)])
    assert (bad.exit_code, "toy-eval.jsonl:1: data.row" in bad.output) == (1, True)


def test_new_stage_grades_answers(kb: KnowledgeBase) -> None:
    """Answers of a new stage are graded as valid, exact and the same decision, like those of every
    stage.
    """
    row = make_row(9, 7, kb, "coverage")
    assert row.answer == '{"short":9,"covered":false}'
    assert grade(row, row.answer, kb) == (True, True, True)
    assert grade(row, '{"short":3,"covered":false}', kb) == (True, False, True)
    assert grade(row, '{"short":0,"covered":true}', kb) == (True, False, False)
    assert grade(row, "I would rather not say", kb) == (False, False, False)
    with pytest.raises(UsageError, match="does not have the shape of stage toy"):
        grade(with_record(row, "{}"), row.answer, kb)


def with_record(row: Row, record: str) -> Row:
    return replace(row, record=record)


def test_new_stage_task_has_prompt_check_and_repair(kb: KnowledgeBase) -> None:
    """The task of a new stage has a prompt, a schema, a check and a repair for the verified
    backend.
    """
    task = task_of(make_row(9, 7, kb, "coverage"), kb, "toy-small")
    assert task.prompt.system == "Made for toy-small."
    assert answer_schema(task.codec)["required"] == ["short", "covered"]
    reply = parse_and_check(
        task, 'Well: {"short": 3, "covered": false}', task.prompt.thinks, kb.models
    )
    assert reply.answer == Cover(3, False)
    assert [finding.rule for finding in reply.findings] == ["cover.short"]
    assert task.repair(reply.answer, reply.findings) == Cover(9, False)


def test_unknown_stage_is_refused_with_the_known_stages() -> None:
    """An unknown stage ends with exit 2 and the list of stages."""
    result = CliRunner().invoke(app, ["generate", "--stage", "poems"])
    assert result.exit_code == 2
    expected = f"--stage is poems. Expected one of: {', '.join(STAGES)}."
    assert "toy" in expected
    assert expected in result.stderr


def test_stage_names_equal_the_rows_of_the_table() -> None:
    """STAGE_NAMES lists the bundled stages of the table."""
    assert tuple(name for name in STAGES if name != "toy") == STAGE_NAMES
