"""Models behind a fake server of OpenAI's API, opened with short pauses and closed with the
test.
"""

from __future__ import annotations

from typing import Any

from finops_cli.devtools.fake_openai import Behaviour, CorrectAnswer, FakeOpenAI, ReceivedRequest
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer
from tests.support.ollama_models import a_record, select_backend_at


def fail_first(behaviour: Behaviour, times: int = 10**9) -> Any:
    """Return a script that ends the first requests of records with `behaviour` and answers the
    others correctly.
    """
    count = iter(range(times))

    def script(request: ReceivedRequest) -> Behaviour:
        if request.is_trial or next(count, None) is None:
            return CorrectAnswer()
        return behaviour

    return script


def triage_at(server: FakeOpenAI, kb: KnowledgeBase, script: Any, **options: Any) -> Answer[Any]:
    """Return the answer to the record of card 1 at a server that follows `script`."""
    server.script = script
    selected = select_backend_at(kb, "openai", server.url, stages=("triage",), **options)
    selected.backend.prepare("triage")
    return selected.backend.triage(a_record())


def server_options(*servers: FakeOpenAI) -> list[str]:
    """Return the options of a command that asks `servers`."""
    hosts = [part for server in servers for part in ("--host", server.url)]
    return ["--backend", "openai", *hosts]
