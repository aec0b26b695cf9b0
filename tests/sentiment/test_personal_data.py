"""A thousand texts with personal data: none of it is in any byte that finops writes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Completion, CompletionRequest, Origin
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.pipeline.sentiment.pipeline import SentimentConfig
from tests.support.program import Finops

pytest.importorskip("presidio_analyzer")
TEXTS = 1_000


def luhn(digits: str) -> str:
    """Append the check digit of a card number."""
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 == 0 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def planted(count: int = TEXTS) -> list[tuple[str, str]]:
    """Make texts, each with one piece of personal data in its standard written form."""
    draw = random.Random(27)
    made = []
    for number in range(count):
        card = luhn("4" + "".join(draw.choice("0123456789") for _ in range(14)))
        secret, words = [
            (f"{draw.randint(100, 665)}-{draw.randint(10, 99)}-{draw.randint(1000, 9999)}",
             "The SSN of the holder is {}; profit rose."),
            (" ".join(card[at:at + 4] for at in range(0, 16, 4)), "Card {} was charged twice."),
            (f"ana.k{number}@example{number % 7}.com", "Write to {} about the loss."),
            (f"({draw.randint(201, 989)}) 555-{draw.randint(1000, 9999)}",
             "Call {} before the cut-off, sales fell."),
            (f"{draw.randint(10**9, 10**10 - 1)}", "Account number {} has no stock."),
        ][number % 5]  # fmt: skip
        made.append((secret, words.format(secret)))
    return made


SECRETS = planted()


def leaks(content: bytes) -> list[str]:
    """List the secrets that are in `content`, also without their separators."""
    plain = bytes(each for each in content if each not in b" -()")
    found = []
    for secret, _ in SECRETS:
        joined = secret.translate(str.maketrans("", "", " -()")).encode()
        if secret.encode() in content or (len(joined) >= 9 and joined in plain):
            found.append(secret)
    return found


def write_input(path: Path) -> Path:
    rows = ({"id": f"T-{n}", "text": text} for n, (_, text) in enumerate(SECRETS))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def files_of(folder: Path, given: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path != given)


def test_check_finds_a_planted_leak() -> None:
    """The check of this module finds a secret with and without its separators."""
    secret = SECRETS[0][0]
    assert leaks(f"x {secret} y".encode()) == [secret]
    assert leaks(secret.replace("-", "").encode()) == [secret]
    assert leaks(b"[SSN]") == []


@pytest.mark.slow
def test_no_byte_of_a_run_has_personal_data(finops: Finops, tmp_path: Path) -> None:
    """Output, note, statistics, stdout and stderr of a run have none of 1,000 secrets."""
    given = write_input(tmp_path / "given.jsonl")
    done = finops(
        "sentiment", given, "--backend", "baseline", "--keep-raw", "--split", "sentences", "-o",
        tmp_path / "out.jsonl", "--stats-json", tmp_path / "stats.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert leaks(done.stdout + done.stderr) == []
    written = list(files_of(tmp_path, given))
    assert {path.name for path in written} >= {"out.jsonl", "out.jsonl.run.json", "stats.json"}
    assert [(path.name, found) for path in written if (found := leaks(path.read_bytes()))] == []
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert len(lines) == TEXTS
    assert [line["id"] for line in lines if not line["pii"]] == []


def test_rejected_lines_do_not_quote_personal_data(finops: Finops, tmp_path: Path) -> None:
    """A line that cannot be used is rejected without the data that it holds."""
    given = tmp_path / "given.jsonl"
    secret = next(secret for secret, _ in SECRETS if "@" in secret)
    given.write_text(
        f'{{"text": 1, "note": "{secret}"}}\nwrite to {secret}\n{{"text": ["{secret}"]}}\n'
    )
    done = finops("sentiment", given, "--backend", "baseline")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert leaks(done.stdout + done.stderr) == []


class Recorder:
    """A text model that keeps every prompt, and repeats the end of it."""

    origin = Origin("recorder", is_model=True, models={"sentiment": "recorder"})
    concurrency = 1
    must_alternate = False

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def prepare(self, stage: str) -> None: ...

    def modelfile(self, stage: str) -> str:
        return stage

    def context_size(self, stage: str) -> int:
        return 512

    def complete(self, request: CompletionRequest) -> Completion:
        self.prompts.append(request.prompt)
        return Completion(request.prompt[-200:])

    def model_changes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None: ...


@pytest.mark.slow
def test_no_prompt_and_no_reply_has_personal_data(kb: KnowledgeBase) -> None:
    """A model that repeats its prompt gets masked texts, and its reply is masked again."""
    model = Recorder()
    config = SentimentConfig(kb_dir=bundled_kb_dir(), timed=False, keeps_raw=True)
    pipeline = config.open_with(LanguageClassifier(model, kb, has_choices=False), kb)
    for number, (_, text) in enumerate(SECRETS, start=1):
        line = pipeline.process(number, json.dumps({"text": text}).encode()).line
        assert leaks(repr(line).encode()) == []
        assert line.pii
    assert len(model.prompts) >= TEXTS
    assert leaks("".join(model.prompts).encode()) == []


@pytest.mark.slow
def test_no_byte_of_an_evaluation_has_personal_data(finops: Finops, tmp_path: Path) -> None:
    """Records, answers, report and messages of an evaluation have none of the secrets."""
    given = tmp_path / "rows.jsonl"
    labels = ("positive", "neutral", "negative")
    rows = ({"text": text, "label": labels[n % 3]} for n, (_, text) in enumerate(SECRETS))
    given.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = finops(
        "evaluate", "--stage", "sentiment", "--backend", "baseline", "--data", given,
        "--learn-from", "generated", "--no-baselines", "-o", tmp_path / "ev",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert leaks(done.stdout + done.stderr) == []
    written = list(files_of(tmp_path / "ev", given))
    assert len(written) >= 3
    assert [(path.name, found) for path in written if (found := leaks(path.read_bytes()))] == []


@pytest.mark.slow
def test_training_rows_have_no_personal_data(finops: Finops, tmp_path: Path) -> None:
    """`generate --phrasebank` masks the texts of the rows, of its messages and of the card."""
    given = tmp_path / "bank.txt"
    labels = ("positive", "neutral", "negative")
    lines = [f"{text}@{labels[n % 3]}" for n, (_, text) in enumerate(SECRETS)]
    given.write_text("\n".join([*lines, f"broken line with {SECRETS[2][0]}@none"]))
    done = finops(
        "generate", "--stage", "sentiment", "--phrasebank", given, "-o", tmp_path / "data"
    )
    assert leaks(done.stdout + done.stderr) == []
    written = list(files_of(tmp_path / "data", given))
    assert len(written) >= 3
    assert [(path.name, found) for path in written if (found := leaks(path.read_bytes()))] == []
    off = finops(
        "generate", "--stage", "sentiment", "--phrasebank", given, "--guard", "off", "-o",
        tmp_path / "off", "-q",
    )  # fmt: skip
    assert off.returncode == done.returncode
    train = (tmp_path / "off/sentiment-train.jsonl").read_bytes()
    assert len(leaks(train)) > TEXTS / 2
