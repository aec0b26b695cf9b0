"""The models of one or several Ollama servers as a `TextModel`: requests, retries and timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, NamedTuple

import msgspec

from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.failures import ModelError, PromptTruncated, Truncated
from finops_cli.models.ollama.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.ollama.generate import Generated, Patience, generate
from finops_cli.models.ollama_options import Value
from finops_cli.models.protocol import Completion, CompletionRequest, ModelStage, Origin
from finops_cli.models.retry_policy import RetryBudget
from finops_cli.models.token_estimate import estimated_tokens


class Profile(NamedTuple):
    """A model as it is asked: its name, its options (all of them, typed), a prompt to warm it up
    with, and the Modelfile of both.
    """

    model: str
    options: Mapping[str, Value]
    probe: str
    modelfile: str


class OllamaModel:
    """Sends each request to a server that has room, and again where the server failed it.

    `timeout` is the seconds that one answer may take; `in_turns_now` asks the servers whether the
    models must take turns, `changes_now` whether the models are still the same.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[ModelStage, Profile],
        endpoint_pool: EndpointPool,
        settings: ModelSettings,
        timeout: float | None,
        in_turns_now: Callable[[], bool],
        changes_now: Callable[[], tuple[str, ...]],
    ) -> None:
        self.origin = origin
        self.must_alternate = False
        self._profiles = profiles
        self._endpoint_pool = endpoint_pool
        self._settings = settings
        self._timeout = timeout
        self._in_turns_now = in_turns_now
        self._changes_now = changes_now
        self._counted: dict[ModelStage, int] = {}
        self._prepared: set[ModelStage] = set()

    @property
    def concurrency(self) -> int:
        """More than the slots: while an answer is judged, the next request is already on its
        way.
        """
        slots = max(self._endpoint_pool.slots(stage) for stage in self._profiles)
        return 2 * slots if slots < _MANY_SLOTS else slots + _MANY_SLOTS

    def modelfile(self, stage: ModelStage) -> str:
        """The Modelfile that the model was made for."""
        return self._profiles[stage].modelfile

    def context_size(self, stage: ModelStage) -> int:
        """Tokens of the context that the model is asked with."""
        return int(self._profiles[stage].options["num_ctx"])  # type: ignore[arg-type]  # typed as whole by the Modelfile

    def prepare(self, stage: ModelStage) -> None:
        """Load the model everywhere, side by side. Its first answers also tell whether and how a
        server counts the tokens of a prompt.

        A server that fails here counts as having failed once; the first record tries it again.
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
            self.must_alternate = self._in_turns_now()

    def _wake(self, endpoint: Endpoint, stage: ModelStage) -> None:
        """One server.

        The second warm-up is in its cache: a server that leaves the cache out of its count cannot
        be held to it.
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
        """The text that the model says.

        Raises ModelError when the retries of `model.retries` are used up, or NoEndpointLeft.
        """
        body = self.body(request)
        retries = RetryBudget(self._settings, request.prompt)
        while True:
            is_sent = False
            try:
                with self._endpoint_pool.slot(request.stage) as endpoint:
                    self._try_out(endpoint, request.stage)
                    is_sent = True
                    generated = generate(endpoint.client, body, self._patience(request.stage))
                    text = self._require_whole_text(request, generated, bool(retries.overcome))
                    return Completion(
                        text, tuple(retries.overcome), generated.tokens, generated.generating_ms
                    )
            except ModelError as failure:
                if is_sent:
                    retries.spend(
                        failure, "server" if failure.policy == "give up" else failure.policy
                    )
            if is_sent and endpoint.breaker.state == "closed":
                retries.pause()  # an open breaker holds the request back by itself

    def _try_out(self, endpoint: Endpoint, stage: ModelStage) -> None:
        """Send an endpoint that failed the warm-up before the record: it is the endpoint that is
        tried, not what a record asks.
        """
        if endpoint.breaker.state != "half-open":
            return
        _warm_up(endpoint, self._warm_up_body(stage), self._loading(stage))
        self._endpoint_pool.mark_working(endpoint)

    def model_changes(self) -> tuple[str, ...]:
        """Models that are no longer the ones that the run began with."""
        return self._changes_now()

    def close(self) -> None:
        """Close the connections to every server."""
        for endpoint in self._endpoint_pool.endpoints:
            endpoint.client.close()

    def _require_whole_text(
        self, request: CompletionRequest, generated: Generated, sent_before: bool
    ) -> str:
        """The text, unless the server read far less than it was sent."""
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

    def _warm_up_body(self, stage: ModelStage) -> dict[str, Any]:
        return self.body(
            CompletionRequest(stage, self._profiles[stage].probe, self._settings.seed, max_tokens=1)
        )

    def _server_counts(self, stage: ModelStage) -> bool:
        """Tell whether the counts of prompt tokens mean anything: some servers say none, or the
        same for a long prompt as for a short one.
        """
        counts = list(self._counted.values())
        return self._counted.get(stage, _UNCOUNTED) != _UNCOUNTED and len(set(counts)) == len(
            counts
        )

    def body(self, request: CompletionRequest) -> dict[str, Any]:
        """The request for `request`, every option said."""
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
        return body

    def _patience(self, stage: ModelStage) -> Patience:
        seconds = self._settings.timeouts
        return Patience(seconds["connect"], self._timeout or seconds[stage], seconds["silence"])

    def _loading(self, stage: ModelStage) -> Patience:
        """How long a model may take to load; who is in a hurry for answers waits less for it."""
        load = self._settings.timeouts["load"]
        load = load if self._timeout is None else min(load, _LOADS_WITHIN_ANSWERS * self._timeout)
        return self._patience(stage)._replace(answer=load, silence=load)


_MANY_SLOTS = 8
_UNCOUNTED = 0
_LOADS_WITHIN_ANSWERS = 10


def _warm_up(endpoint: Endpoint, body: dict[str, Any], patience: Patience) -> int | None:
    """The prompt tokens that the server counts.

    Raises ModelError where it does not answer as it should.
    """
    try:
        return generate(endpoint.client, body, patience).prompt_tokens
    except Truncated as cut:  # one token was asked for, so this is how it ends
        return cut.prompt_tokens


def settings_text(
    profiles: Mapping[ModelStage, Profile], policy: str, timeout: float | None
) -> str:
    """All that sways an answer beside the models and the prompts, as one line of JSON."""
    options_by_stage: dict[str, Any] = {
        stage: dict(sorted(profile.options.items())) for stage, profile in profiles.items()
    }
    return msgspec.json.encode(
        {**options_by_stage, "on_violation": policy, "timeout": timeout}
    ).decode()
