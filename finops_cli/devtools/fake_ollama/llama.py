"""A model served from a GGUF file by llama-cpp-python: real tokens, real text, one request at a
time.
"""

from __future__ import annotations

import codecs
import importlib
import itertools
import json
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finops_cli import extras
from finops_cli.devtools.fake_ollama.requests import OllamaRequest
from finops_cli.errors import MissingPiece, UsageError

if TYPE_CHECKING:
    from finops_cli.devtools.fake_ollama.response import ResponseStream

_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)


class LlamaModel:
    """A GGUF file, loaded at the first request and again when num_ctx changes.

    Raises MissingPiece or UsageError.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._library: Any = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise MissingPiece(
                "serving a GGUF file needs llama-cpp-python", extras.cure("llama")
            ) from error
        if not path.is_file():
            raise UsageError(
                f"{path}: no such GGUF file", "give a file that `finops quantize` wrote"
            )
        self._path = path
        self._lock = threading.Lock()
        self._loaded: tuple[int, Any] | None = None

    def count(self, request: OllamaRequest) -> int:
        """Count the tokens of the prompt."""
        with self._lock:
            return len(self._tokens(self._llama(request.num_ctx), request.prompt))

    def generate(self, response: ResponseStream) -> Generator[str, None, None]:
        """Yield the pieces of the answer; leave token counts and the end reason in `response`.

        It decodes token by token: `create_completion` reads the whole answer again for each token
        whose bytes are not whole UTF-8.
        """
        request = response.request
        with self._lock:
            llama = self._llama(request.num_ctx)
            vocabulary = self._library.llama_model_get_vocab(llama.model)
            llama.set_seed(request.options["seed"])
            pieces = _Pieces(list(request.options["stop"]))
            response.reason = "length"
            tokens = llama.generate(
                self._tokens(llama, request.prompt),
                grammar=self._grammar(request.format),
                **self._sampling(request),
            )
            for token in itertools.islice(tokens, response.budget):
                response.breathe()
                if self._library.llama_vocab_is_eog(vocabulary, token):
                    response.reason = "stop"
                    break
                response.eval_tokens += 1
                yield from pieces.add(llama.detokenize([token], special=True))
                if pieces.stopped:
                    response.reason = "stop"
                    return
            yield from pieces.rest()

    @staticmethod
    def _sampling(request: OllamaRequest) -> dict[str, Any]:
        given = {name: request.options[name] for name in _SAMPLING if name in request.options}
        if "temperature" in given:
            given["temp"] = given.pop("temperature")
        return given

    def close(self) -> None:
        """Free the memory."""
        with self._lock:
            if self._loaded is not None:
                self._loaded[1].close()
                self._loaded = None

    def _llama(self, num_ctx: int) -> Any:
        if self._loaded is None or self._loaded[0] != num_ctx:
            if self._loaded is not None:
                self._loaded[1].close()
            self._loaded = (
                num_ctx,
                self._library.Llama(str(self._path), n_ctx=num_ctx, verbose=False),
            )
        return self._loaded[1]

    @staticmethod
    def _tokens(llama: Any, prompt: str) -> list[int]:
        tokens: list[int] = llama.tokenize(prompt.encode(), add_bos=False, special=True)
        return tokens

    def _grammar(self, format: Any) -> Any:
        if format is None:
            return None
        schema = {"type": "object"} if format == "json" else format
        return self._library.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)


class _Pieces:
    """Decodes the bytes of tokens to text: whole characters only, and nothing from a stop sequence
    on.
    """

    def __init__(self, stops: list[str]) -> None:
        self.stopped = False
        self._stops = stops
        self._held = ""
        self._hold = max((len(stop) for stop in stops), default=1) - 1
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: bytes) -> Iterator[str]:
        """Yield the text that is certain; hold back what may begin a stop sequence."""
        self._held += self._decoder.decode(token)
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
        else:
            cut = max(0, len(self._held) - self._hold)
            text, self._held = self._held[:cut], self._held[cut:]
        if text:
            yield text

    def rest(self) -> Iterator[str]:
        """Yield the text that was held back and began no stop sequence."""
        if self._held:
            yield self._held
