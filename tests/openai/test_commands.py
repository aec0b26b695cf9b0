"""The other commands that ask servers of OpenAI's API: sentiment, evaluate, doctor, models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    CorrectAnswer,
    FakeOpenAI,
    FixedText,
    WithLogprobs,
)
from finops_cli.devtools.fake_openai.kinds import ReceivedRequest
from tests.support.openai_models import fail_first, server_options
from tests.support.program import Finops
from tests.support.records import a_fail, rows

TEXT = json.dumps({"id": "T-1", "text": "Profit rose to $12 million."}).encode()
LIKELY = {"pos": -0.1, "neu": -2.5, "neg": -4.0, "the": -6.0}


def a_sentiment(finops: Finops, server: FakeOpenAI, *options: str) -> dict[str, object]:
    done = finops("sentiment", "-", *server_options(server), "--guard", "off", *options, stdin=TEXT)
    assert done.returncode == 0, done.stderr
    [line] = rows(done.stdout)
    return line


@pytest.mark.parametrize(("api", "by_place"), [("completions", False), ("chat", True)])
def test_sentiment_has_the_confidence_of_logprobs(
    api: str, by_place: bool, finops: Finops, vllm: FakeOpenAI
) -> None:
    """The likely first tokens of a server give the confidence, in both forms of the protocol."""
    vllm.script = fail_first(WithLogprobs("positive", LIKELY, by_place))
    line = a_sentiment(finops, vllm, "--model-api", api)
    sentiment, provenance = line["sentiment"], line["provenance"]
    assert isinstance(sentiment, dict)
    assert isinstance(provenance, dict)
    assert (line["status"], sentiment["label"]) == ("ok", "positive")
    assert provenance["confidence"] == "top_k"
    assert 0.85 < float(sentiment["confidence"]) < 0.95


def test_sentiment_without_logprobs_has_no_confidence(finops: Finops, vllm: FakeOpenAI) -> None:
    """A server that lists no tokens gives a label, and no number is invented."""
    vllm.script = fail_first(FixedText("neutral"))
    line = a_sentiment(finops, vllm)
    assert line["sentiment"] == {"label": "neutral", "confidence": None, "scores": None}


def test_refused_logprobs_cost_no_label(finops: Finops) -> None:
    """A server that refuses logprobs is asked without them."""

    with FakeOpenAI(lambda request: FixedText("negative"), kind="openai") as server:
        assert a_sentiment(finops, server)["status"] == "ok"


def test_sentiment_that_is_no_label_is_asked_again(finops: Finops, vllm: FakeOpenAI) -> None:
    """A second request for a label is held to the three words."""
    vllm.script = fail_first(FixedText("I cannot say"), times=1)
    a_sentiment(finops, vllm)
    schema = vllm.about_records[1].schema
    assert set(schema["enum"]) == {"positive", "neutral", "negative"}


def test_sentiment_says_that_nothing_held_its_label(finops: Finops) -> None:
    """A second request for a label that nothing could constrain is named in line and summary."""
    with FakeOpenAI(fail_first(FixedText("I cannot say"), times=9), kind="plain") as server:
        done = finops("sentiment", "-", *server_options(server), "--guard", "off", stdin=TEXT)
    [line] = rows(done.stdout)
    assert line["status"] == "fallback"
    assert line["provenance"]["format_warnings"] == ["reply.unconstrained"]
    assert b"holds no answer of finops-sentiment to a schema" in b" ".join(done.stderr.split())


def test_tone_of_notes_asks_the_same_server(finops: Finops, vllm: FakeOpenAI) -> None:
    """`finops run --sentiment=openai` reads notes with the model of the servers of the run."""

    def script(request: ReceivedRequest) -> Behaviour:
        return FixedText("negative") if request.model == "finops-sentiment" else CorrectAnswer()

    vllm.script = script
    record = a_fail(notes="They will not deliver this week.")
    done = finops(
        *("run", "-", *server_options(vllm), "--sentiment=openai", "--guard", "off"),
        stdin=json.dumps(record).encode(),
    )
    assert done.returncode == 0, done.stderr
    [line] = rows(done.stdout)
    assert line["tone"]["sentiment"]["label"] == "negative"


@pytest.mark.slow
def test_evaluate_measures_the_server(finops: Finops, vllm: FakeOpenAI, tmp_path: Path) -> None:
    """`finops evaluate` asks the server; a flawless one is right every time."""
    for stage in ("triage", "resolver"):
        done = finops(
            *("evaluate", "--stage", stage, "-n", "6", "--no-baselines", "-o", tmp_path / stage),
            *(*server_options(vllm), "--json", "--quiet"),
        )
        assert done.returncode == 0, done.stderr
    assert len(vllm.about_records) == 12


@pytest.mark.slow
def test_doctor_reports_servers_models_and_schema(finops: Finops) -> None:
    """doctor says which server lists what, by which field it holds a schema, and tries a record."""
    with FakeOpenAI(models=["finops-triage"]) as one, FakeOpenAI(models=["finops-resolver"]) as two:
        found = json.loads(finops("doctor", *server_options(one, two), "--json").stdout)
        missing = finops("doctor", *server_options(one), "--no-live", "--json")
    details = {each["what"]: each for each in found}
    assert {each["state"] for each in found if each["what"] in ("openai", "schema")} == {"ok"}
    assert details["triage model"]["detail"].startswith(f"finops-triage at {one.url}")
    assert "structured_outputs" in details["schema"]["detail"]
    assert details["live record"]["detail"].endswith("status ok")
    assert not {"ollama", "model files"} & details.keys()
    assert missing.returncode == 3
    broken = [each for each in json.loads(missing.stdout) if each["state"] == "broken"]
    assert [each["what"] for each in broken] == ["resolver model"]


@pytest.mark.slow
def test_doctor_names_a_server_that_holds_no_schema(finops: Finops) -> None:
    """A server without a way to hold an answer to a schema is poor, not broken."""
    with FakeOpenAI(kind="plain") as server:
        done = finops("doctor", *server_options(server), "--json")
    schema = [each for each in json.loads(done.stdout) if each["what"] == "schema"]
    assert done.returncode == 0
    assert {each["state"] for each in schema} == {"poor"}


def test_models_lists_what_servers_list(finops: Finops, vllm: FakeOpenAI) -> None:
    """`finops models` shows the names and contexts, and nothing that the protocol does not tell."""
    done = finops("models", *server_options(vllm), "--json")
    [listed] = [each for each in json.loads(done.stdout) if each["host"] == vllm.url]
    assert listed["program"] == "OpenAI API (vllm)"
    assert [model["name"] for model in listed["models"]] == vllm.models
    assert {model["size_bytes"] for model in listed["models"]} == {None}
    table = finops("models", *server_options(vllm)).stdout.decode()
    assert "finops-triage" in table
    assert "32768" in table
    assert finops("models", "--api-key-file", "k").returncode == 2
