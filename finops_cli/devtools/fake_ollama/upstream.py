"""A model that a server of llama-cpp-python answers: the fake Ollama stands before it.

Two such servers are two model processes with threads of their own, as Ollama's runners are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from finops_cli.devtools.fake_ollama.requests import OllamaRequest

if TYPE_CHECKING:
    from finops_cli.devtools.fake_ollama.response import ResponseStream

_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "stop", "seed")
_SECONDS = 600.0
_EVENT = "data: "
_END = "[DONE]"


class UpstreamModel:
    """The model of the `llama_cpp.server` at `url`, one request at a time."""

    def __init__(self, url: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False)
        self._lock = threading.Lock()

    def count(self, request: OllamaRequest) -> int:
        """Count the tokens of the prompt."""
        with self._lock:
            answer = self._client.post("/extras/tokenize/count", json={"input": request.prompt})
            return int(answer.raise_for_status().json()["count"])

    def generate(self, response: ResponseStream) -> Generator[str, None, None]:
        """Yield the pieces of the answer; leave token counts and the end reason in `response`."""
        request = response.request
        body = {name: request.options[name] for name in _OPTIONS if name in request.options}
        body |= {"prompt": request.prompt, "max_tokens": response.budget, "stream": True}
        response.reason = "length"
        with self._lock, self._client.stream("POST", "/v1/completions", json=body) as answer:
            answer.raise_for_status()
            with closing(_choices(answer.iter_lines())) as choices:
                for choice in choices:
                    response.breathe()
                    if choice["text"]:
                        response.eval_tokens += 1
                        yield choice["text"]
                    response.reason = choice["finish_reason"] or response.reason

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _choices(lines: Iterator[str]) -> Generator[dict[str, Any], None, None]:
    """Read the choice of each event of a stream."""
    for line in lines:
        if line.startswith(_EVENT) and line != f"{_EVENT}{_END}":
            yield json.loads(line.removeprefix(_EVENT))["choices"][0]
