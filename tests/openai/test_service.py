"""`finops serve --backend openai`: records, texts and jobs, and no byte of the key in its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.devtools.fake_openai import Behaviour, CorrectAnswer, FakeOpenAI, FixedText
from finops_cli.devtools.fake_openai.kinds import ReceivedRequest
from tests.service.conftest import start, stop
from tests.support.records import a_fail, jsonl

pytest.importorskip("fastapi")
KEY = "sk-of-the-service-0123456789"
LINES = {"Content-Type": "application/jsonl"}


def answer(request: ReceivedRequest) -> Behaviour:
    """Label texts, and answer records as the rules do."""
    return FixedText("negative") if request.model == "finops-sentiment" else CorrectAnswer()


@pytest.mark.slow
def test_service_asks_servers_of_openai_with_a_key(tmp_path: Path) -> None:
    """Records, texts and a job are answered by the servers; its data holds no byte of the key."""
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(KEY)
    with FakeOpenAI(answer, key=KEY) as fake:
        models = ("--backend", "openai", "--model-host", fake.url, "--api-key-file", str(key))
        options = (*models, "--sentiment-model", "finops-sentiment", "--guard", "off")
        service = start(tmp_path, *options)
        with service.client("operator") as client:
            line = client.post("/v1/triage", json=a_fail()).json()
            tone = client.post("/v1/sentiment", json={"text": "They missed it again."}).json()
            states = client.get("/v1/models").json()["servers"]
            content = jsonl(a_fail(fail_id="J-1"), a_fail(fail_id="J-2"))
            file = client.post("/v1/files", content=content, headers=LINES).json()["id"]
            job = client.post("/v1/jobs", json={"command": "triage", "input": file}).json()["id"]
            done = client.get(f"/v1/jobs/{job}", params={"wait": 20}).json()
        asked = len(fake.about_records)
        stop(service)
    assert (line["status"], line["provenance"]["backend"]) == ("ok", "openai")
    assert (tone["sentiment"]["label"], tone["provenance"]["backend"]) == ("negative", "openai")
    assert states == {fake.url: "closed"}
    assert (done["state"], done["request_counts"]["ok"], asked) == ("completed", 2, 4)
    written = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert written
    assert not [file for file in written if KEY.encode() in file.read_bytes()]
