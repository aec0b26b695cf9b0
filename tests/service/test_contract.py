"""The service against its own OpenAPI document: requests that schemathesis makes up."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir
from tests.service.conftest import TOKENS, Server, start, stop
from tests.service.test_jobs import MONDAY, begin, finish, upload
from tests.support.soak import scaled

pytestmark = pytest.mark.slow
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
"""Every check but those that a rule between two fields fails: a document cannot hold such rules."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of its own with a job: the requests change and delete what they find."""
    folder = tmp_path_factory.mktemp("contract")
    kb = Path(shutil.copytree(bundled_kb_dir(), folder / "kb"))
    rules = (kb / "serve.toml").read_text()
    assert "failed_logins = 10," in rules  # else a wrong token gives 429, not 401
    (kb / "serve.toml").write_text(rules.replace("failed_logins = 10,", "failed_logins = 100000,"))
    running = start(folder, "--guard", "off", kb=kb)
    with running.client("operator") as client:
        finish(client, begin(client, "run", upload(client, MONDAY)))
    yield running
    stop(running)


def test_answers_conform_to_the_document(filled: Server, tmp_path: Path) -> None:
    """Made-up requests, right and wrong, get answers that the document describes: no 500, no
    unknown status, every body of its schema, and nothing without a token.
    """
    program = shutil.which("schemathesis")
    if program is None:
        pytest.skip("the program schemathesis is not installed: the extra `contract`")
    command = [program, "run", f"{filled.url}/openapi.json", "--no-color"]
    command += ["-H", f"Authorization: Bearer {TOKENS['admin']}", "--checks", ",".join(CHECKS)]
    command += [
        "--phases",
        "coverage,fuzzing",
        "--max-examples",
        str(scaled(10, 165)),
        "--seed",
        "28",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(500, 3_600),
    )
    assert done.returncode == 0, done.stdout[-8000:]
