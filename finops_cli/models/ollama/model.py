"""The models of one or several Ollama servers as a `TextModel`: requests, retries and timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from finops_cli.domain.stage_names import StageName
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import ModelError, PromptTruncated, Truncated
from finops_cli.models.ollama.endpoint_pool import BACKEND, Endpoint, EndpointPool
from finops_cli.models.ollama.generate import Generated, Patience, generate
from finops_cli.models.ollama.placement import Placement
from finops_cli.models.ollama.server_recovery import ServerRecovery
from finops_cli.models.ollama_options import Value
from finops_cli.models.protocol import Completion, CompletionRequest, Origin
from finops_cli.models.recovery.incidents import BOARD
from finops_cli.models.retry_policy import RetryBudget
from finops_cli.models.token_estimate import estimated_tokens


class Profile(NamedTuple):
    """The request settings of a model."""

    model: str
    options: Mapping[str, Value]
    """Every option, with its type."""
    probe: str
    """A prompt to warm the model up with."""
    modelfile: str
    """The Modelfile of prompt and options."""


class OllamaModel:
    """Model on one or several servers.

    Each request goes to a server with a free slot, and again to another if a server failed.

    `timeout` is the seconds that one answer may take. `placement_now` asks the servers where the
    models are. `changes_now` asks if models were replaced.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[StageName, Profile],
        endpoint_pool: EndpointPool,
        settings: ModelSettings,
        timeout: float | None,
        placement_now: Callable[[], Placement],
        changes_now: Callable[[], tuple[str, ...]],
    ) -> None:
        self.origin = origin
        self.must_alternate = False
        self._profiles = profiles
        self._endpoint_pool = endpoint_pool
        self._settings = settings
        self._timeout = timeout
        self._placement_now = placement_now
        self._sharing = ""
        self._is_placed = False
        self._answered: set[StageName] = set()
        self._placing = Lock()
        self._changes_now = changes_now
        self._counted: dict[StageName, int] = {}
        self._prepared: set[StageName] = set()
        models = [profile.model for profile in profiles.values()]
        self._recovery = ServerRecovery(endpoint_pool, models, settings, self._warm_up_all)
        BOARD.add_probe(BACKEND, self._recovery.describe)

    @property
    def concurrency(self) -> int:
        """Return the number of concurrent requests.

        It is higher than the number of slots, so that a request is on its way while an answer is
        checked.
        """
        slots = max(self._endpoint_pool.slots(stage) for stage in self._profiles)
        return 2 * slots if slots < _MANY_SLOTS else slots + _MANY_SLOTS

    def modelfile(self, stage: StageName) -> str:
        """Return the Modelfile that the model was trained for."""
        return self._profiles[stage].modelfile

    def context_size(self, stage: StageName) -> int:
        """Return the tokens of the context in each request."""
        return int(self._profiles[stage].options["num_ctx"])  # type: ignore[arg-type]  # typed as whole by the Modelfile

    def prepare(self, stage: StageName) -> None:
        """Load the model on every server at the same time.

        The first answers also show if a server counts the tokens of a prompt correctly. A server
        that fails here has failed once; the first record tries it again.
        """
        waking = [
            Thread(target=self._wake, args=(endpoint, stage), daemon=True)
            for endpoint in self._endpoint_pool.endpoints
            if endpoint.breaker.state == "closed"
        ]
        for thread in waking:
            thread.start()
        for thread in waking:
            thread.join()
        self._prepared.add(stage)
        if self._prepared == set(self._profiles) and len(self._profiles) > 1:
            self._place()

    def _place(self) -> None:
        """Ask the servers where the models are, now that each has been loaded."""
        self._is_placed = True
        placement = self._placement_now()
        self.must_alternate = placement.must_alternate
        self._sharing = placement.sharing
        longest = self._settings.alternation_batch
        self._endpoint_pool.take_turns(placement.on_processor, longest)

    def _note_answer(self, stage: StageName) -> None:
        """Place the models of a service, which prepares none, when each has answered."""
        if self._is_placed or len(self._profiles) < 2:
            return
        with self._placing:
            self._answered.add(stage)
            if not self._is_placed and self._answered == set(self._profiles):
                self._place()

    def describe_sharing(self) -> str:
        """Say how the models share a processor; empty if they do not. Valid after `prepare`."""
        return self._sharing

    def _wake(self, endpoint: Endpoint, stage: StageName) -> None:
        """Warm up one server.

        The second warm-up is in its cache. A server that does not count cached tokens is recognised
        by it, and its counts are not used.
        """
        try:
            counts = [_warm_up(endpoint, self._warm_up_body(stage), self._loading(stage))]
            if stage not in self._counted:
                counts.append(_warm_up(endpoint, self._warm_up_body(stage), self._loading(stage)))
                believed = (
                    len(set(counts)) == 1
                    and (counts[0] or 0) >= self._settings.tokens["calibration_from"]
                )
                self._counted[stage] = (
                    counts[0] if believed and counts[0] is not None else _UNCOUNTED
                )
        except ModelError as failure:
            self._endpoint_pool.failed(endpoint, failure)

    def complete(self, request: CompletionRequest) -> Completion:
        """Return the model's answer to `request`.

        Raises ModelError if the retries of `model.retries` are used up, and NoEndpointLeft.
        """
        body = self.body(request)
        retries = RetryBudget(self._settings, request.prompt)
        while True:
            is_sent, began = False, monotonic()
            try:
                with self._endpoint_pool.slot(request.stage) as endpoint:
                    self._try_out(endpoint, request.stage)
                    is_sent, began = True, monotonic()
                    generated = generate(endpoint.client, body, self._patience(request.stage))
                    self._recovery.succeeded(endpoint)
                    self._note_answer(request.stage)
                    text = self._require_whole_text(request, generated, bool(retries.overcome))
                    return Completion(
                        text,
                        tuple(retries.overcome),
                        generated.tokens,
                        generated.generating_ms,
                        first_logprobs=generated.first_logprobs,
                    )
            except ModelError as failure:
                if is_sent:
                    self._recovery.failed(endpoint, failure, began)
                    retries.spend(
                        failure, "server" if failure.policy == "give up" else failure.policy
                    )
            if is_sent and endpoint.breaker.state == "closed":
                retries.pause()  # an open breaker also makes the request wait

    def _warm_up_all(self, endpoint: Endpoint) -> None:
        """Load the model of each stage, where they do not alternate. Raises ModelError."""
        stages = list(self._profiles)
        for stage in stages[:1] if self.must_alternate else stages:
            _warm_up(endpoint, self._warm_up_body(stage), self._loading(stage))

    def _try_out(self, endpoint: Endpoint, stage: StageName) -> None:
        """Warm up an endpoint that failed before it gets a record.

        So the test shows a fault of the endpoint, not of the record.
        """
        if endpoint.breaker.state != "half-open":
            return
        _warm_up(endpoint, self._warm_up_body(stage), self._loading(stage))
        self._endpoint_pool.mark_working(endpoint)

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for each model that was replaced during the run."""
        return self._changes_now()

    def endpoint_states(self) -> dict[str, str]:
        """Return the state of the breaker of each server."""
        return self._endpoint_pool.states()

    def close(self) -> None:
        """Close the connections to every server."""
        BOARD.remove_probe(BACKEND, self._recovery.describe)
        for endpoint in self._endpoint_pool.endpoints:
            endpoint.client.close()

    def _require_whole_text(
        self, request: CompletionRequest, generated: Generated, sent_before: bool
    ) -> str:
        """Return the text, unless the server read far fewer tokens than were sent."""
        counted = generated.prompt_tokens
        if (
            counted is None
            or request.is_repeat
            or sent_before
            or not self._server_counts(request.stage)
        ):
            return generated.text
        due = (
            self._counted[request.stage]
            * estimated_tokens(request.prompt)
            / estimated_tokens(self._profiles[request.stage].probe)
        )
        if counted * 100 < due * self._settings.tokens["floor_pct"]:
            detail = (
                f"the server counted {counted:,} tokens of a prompt of about {due:,.0f}; it was cut"
            )
            raise PromptTruncated(detail, generated.text)
        return generated.text

    def _warm_up_body(self, stage: StageName) -> dict[str, Any]:
        return self.body(
            CompletionRequest(stage, self._profiles[stage].probe, self._settings.seed, max_tokens=1)
        )

    def _server_counts(self, stage: StageName) -> bool:
        """Return true if the server's counts of prompt tokens can be used.

        Some servers report none, or the same count for long and short prompts.
        """
        counts = list(self._counted.values())
        return self._counted.get(stage, _UNCOUNTED) != _UNCOUNTED and len(set(counts)) == len(
            counts
        )

    def body(self, request: CompletionRequest) -> dict[str, Any]:
        """Build the body of `request` with every option explicit."""
        profile = self._profiles[request.stage]
        options = {**profile.options, "seed": request.seed}
        if request.max_tokens is not None:
            options["num_predict"] = request.max_tokens
        body: dict[str, Any] = {
            "model": profile.model,
            "prompt": request.prompt,
            "raw": True,
            "think": False,
            "stream": True,
            "keep_alive": f"{self._settings.keep_alive_minutes}m",
            "truncate": False,
            "shift": False,
            "options": options,
        }
        if request.schema is not None:
            body["format"] = request.schema
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def _patience(self, stage: StageName) -> Patience:
        seconds = self._settings.timeouts
        setting = "--timeout" if self._timeout else f"kb entry model.timeouts, `{stage}`"
        return Patience(
            seconds["connect"], self._timeout or seconds[stage], seconds["silence"], setting
        )

    def _loading(self, stage: StageName) -> Patience:
        """Return the timeouts for loading a model; a short timeout for answers shortens them."""
        load = self._settings.timeouts["load"]
        setting = "kb entry model.timeouts, `load`"
        if self._timeout is not None and _LOADS_WITHIN_ANSWERS * self._timeout < load:
            load = _LOADS_WITHIN_ANSWERS * self._timeout
            setting = f"{_LOADS_WITHIN_ANSWERS} times --timeout"
        patience = self._patience(stage)
        return patience._replace(answer=load, silence=load, answer_setting=setting)


_MANY_SLOTS = 8
_UNCOUNTED = 0
_LOADS_WITHIN_ANSWERS = 10


def _warm_up(endpoint: Endpoint, body: dict[str, Any], patience: Patience) -> int | None:
    """Return the prompt tokens that the server counts.

    Raises ModelError if the answer is not as expected.
    """
    try:
        return generate(endpoint.client, body, patience).prompt_tokens
    except Truncated as cut:  # expected: one token was requested
        return cut.prompt_tokens


def settings_text(profiles: Mapping[StageName, Profile], request: BackendRequest) -> str:
    """All that sways an answer beside the models and the prompts, as one line of JSON."""
    options_by_stage: dict[str, Any] = {
        stage: dict(sorted(profile.options.items())) for stage, profile in profiles.items()
    }
    answering = {
        "on_violation": request.on_violation,
        "prose": request.prose,
        "timeout": request.timeout,
    }
    return msgspec.json.encode({**options_by_stage, **answering}).decode()
