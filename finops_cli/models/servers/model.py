"""The models of one or several servers as a `TextModel`: slots, retries, timeouts, warm-ups."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from finops_cli.domain.stage_names import StageName
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import ModelError, PromptTruncated, Truncated
from finops_cli.models.ollama_options import Value
from finops_cli.models.protocol import Completion, CompletionRequest, Origin
from finops_cli.models.recovery.incidents import BOARD
from finops_cli.models.retry_policy import RetryBudget
from finops_cli.models.servers.answers import Generated, Patience
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.servers.recovery import ServerRecovery
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


class ServerModel:
    """Model on one or several servers.

    Each request goes to a server with a free slot, and again to another if a server failed. A class
    of a protocol says how a request is sent. `timeout` is the seconds that one answer may take.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[StageName, Profile],
        endpoint_pool: EndpointPool,
        settings: ModelSettings,
        timeout: float | None,
    ) -> None:
        self.origin = origin
        self.must_alternate = False
        self._profiles = profiles
        self._endpoint_pool = endpoint_pool
        self._settings = settings
        self._timeout = timeout
        self._counted: dict[StageName, int] = {}
        self._recovery = self._open_recovery()
        BOARD.add_probe(endpoint_pool.backend, self._recovery.describe)

    def _open_recovery(self) -> ServerRecovery:
        """Return what acts on a lack of memory of the servers."""
        raise NotImplementedError

    def _send(self, endpoint: Endpoint, request: CompletionRequest, within: Patience) -> Generated:
        """Send a request to a server. Raises ModelError."""
        raise NotImplementedError

    def _note_answer(self, stage: StageName) -> None:
        """Note that a server has answered a request of a stage."""

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for each model that was replaced during the run."""
        return ()

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
            if stage in endpoint.slots and endpoint.breaker.state == "closed"
        ]
        for thread in waking:
            thread.start()
        for thread in waking:
            thread.join()

    def reload(self, stage: StageName) -> None:
        """Free the memory of the servers where their protocol can, and load the models again."""
        self._recovery.reload_all()
        self.prepare(stage)

    def _wake(self, endpoint: Endpoint, stage: StageName) -> None:
        """Warm up one server.

        The second warm-up is in its cache. A server that does not count cached tokens is recognised
        by it, and its counts are not used.
        """
        try:
            counts = [self._warm_up(endpoint, stage)]
            if stage not in self._counted:
                counts.append(self._warm_up(endpoint, stage))
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
        retries = RetryBudget(self._settings, request.prompt)
        refused_by: set[str] = set()
        while True:
            is_sent, began = False, monotonic()
            try:
                with self._endpoint_pool.slot(request.stage) as endpoint:
                    self._try_out(endpoint, request.stage)
                    is_sent, began = True, monotonic()
                    generated = self._send(endpoint, request, self._patience(request.stage))
                    self._recovery.succeeded(endpoint)
                    self._note_answer(request.stage)
                    text = self._require_whole_text(request, generated, bool(retries.overcome))
                    return Completion(
                        text,
                        tuple(retries.overcome),
                        generated.tokens,
                        generated.generating_ms,
                        first_logprobs=generated.first_logprobs,
                        is_unconstrained=generated.is_unconstrained,
                    )
            except ModelError as failure:
                if is_sent:
                    self._recovery.failed(endpoint, failure, began)
                    retries.spend(failure, _choose_budget(failure, endpoint.url, refused_by))
            if is_sent and endpoint.breaker.state == "closed":
                # an open breaker also makes the request wait; another server may have room now
                retries.pause(heeds_server=not self._endpoint_pool.has_others(endpoint))

    def _warm_up_all(self, endpoint: Endpoint) -> None:
        """Load the model of each stage, where they do not alternate. Raises ModelError."""
        stages = [stage for stage in self._profiles if stage in endpoint.slots]
        for stage in stages[:1] if self.must_alternate else stages:
            self._warm_up(endpoint, stage)

    def _try_out(self, endpoint: Endpoint, stage: StageName) -> None:
        """Warm up an endpoint that failed before it gets a record.

        So the test shows a fault of the endpoint, not of the record.
        """
        if endpoint.breaker.state != "half-open":
            return
        self._warm_up(endpoint, stage)
        self._endpoint_pool.mark_working(endpoint)

    def _warm_up(self, endpoint: Endpoint, stage: StageName) -> int | None:
        """Return the prompt tokens that the server counts.

        Raises ModelError if the answer is not as expected.
        """
        probe = self._profiles[stage].probe
        request = CompletionRequest(stage, probe, self._settings.seed, max_tokens=1)
        try:
            return self._send(endpoint, request, self._loading(stage)).prompt_tokens
        except Truncated as cut:  # expected: one token was requested
            return cut.prompt_tokens

    def endpoint_states(self) -> dict[str, str]:
        """Return the state of the breaker of each server."""
        return self._endpoint_pool.states()

    def close(self) -> None:
        """Close the connections to every server."""
        BOARD.remove_probe(self._endpoint_pool.backend, self._recovery.describe)
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

    def _server_counts(self, stage: StageName) -> bool:
        """Return true if the server's counts of prompt tokens can be used.

        Some servers report none, or the same count for long and short prompts.
        """
        counts = list(self._counted.values())
        return self._counted.get(stage, _UNCOUNTED) != _UNCOUNTED and len(set(counts)) == len(
            counts
        )

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


def _choose_budget(failure: ModelError, url: str, refused_by: set[str]) -> str:
    """Return the name of the retries that a failure uses up.

    A server whose failure says to give up is tested before the request is sent to it again. It is
    noted in `refused_by`: if it passes and refuses the request again, no retry helps.
    """
    if failure.policy != "give up" or url in refused_by:
        return failure.policy
    refused_by.add(url)
    return "server"


_MANY_SLOTS = 8
_UNCOUNTED = 0
_LOADS_WITHIN_ANSWERS = 10


def settings_text(
    profiles: Mapping[StageName, Profile], request: BackendRequest, **others: object
) -> str:
    """All that sways an answer beside the models and the prompts, as one line of JSON."""
    options_by_stage: dict[str, Any] = {
        stage: dict(sorted(profile.options.items())) for stage, profile in profiles.items()
    }
    answering = {
        "on_violation": request.on_violation,
        "prose": request.prose,
        "timeout": request.timeout,
    }
    return msgspec.json.encode({**options_by_stage, **answering, **others}).decode()
