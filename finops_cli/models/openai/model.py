"""The models of one or several servers of OpenAI's API: requests, trials, and a key."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from finops_cli.domain.stage_names import StageName
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.failures import Rejected
from finops_cli.models.openai.abilities import SAMPLING, Trial, describe
from finops_cli.models.openai.api_key import ApiKey
from finops_cli.models.openai.constraints import make_probe
from finops_cli.models.openai.gbnf import UnsupportedSchema
from finops_cli.models.openai.requests import (
    PATHS,
    Abilities,
    Route,
    build_body,
    optional_fields,
)
from finops_cli.models.openai.send import send
from finops_cli.models.protocol import CompletionRequest, Origin
from finops_cli.models.recovery.ladder import ON_FOREIGN_SERVER
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.servers.answers import Generated, Patience
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.servers.model import Profile, ServerModel
from finops_cli.models.servers.recovery import ServerRecovery
from finops_cli.models.token_estimate import estimated_tokens


class OpenAIModel(ServerModel):
    """Model on one or several servers of OpenAI's API.

    `contexts` are the tokens of the context of each stage, where its servers say them.
    `must_alternate`: a server may hold one of its models at a time.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[StageName, Profile],
        endpoint_pool: EndpointPool,
        settings: ModelSettings,
        timeout: float | None,
        *,
        route: Route,
        key: ApiKey,
        contexts: Mapping[StageName, int],
        must_alternate: bool,
    ) -> None:
        super().__init__(origin, profiles, endpoint_pool, settings, timeout)
        self.must_alternate = must_alternate
        self._route = route
        self._key = key
        self._contexts = contexts
        self._trials = {
            (endpoint.url, stage): self._make_trial(endpoint.url, stage)
            for endpoint in endpoint_pool.endpoints
            for stage in endpoint.slots
        }
        self._locks = {place: Lock() for place in self._trials}

    def _open_recovery(self) -> ServerRecovery:
        return ServerRecovery(self._endpoint_pool, self._settings, ON_FOREIGN_SERVER)

    def _make_trial(self, url: str, stage: StageName) -> Trial:
        profile = self._profiles[stage]
        request = CompletionRequest(stage, profile.probe, self._settings.seed)
        optional = frozenset(optional_fields(request, profile.options, self._route))
        probe = make_probe(url, profile.model, is_text=stage == STAGE)
        return Trial(request, optional, probe, wants_tokens=stage == STAGE)

    def context_size(self, stage: StageName) -> int:
        """Return the tokens of the context in each request: those of the smallest server, if it
        has fewer than the Modelfile.
        """
        return min(super().context_size(stage), self._contexts.get(stage, 2**53))

    def describe_sharing(self) -> str:
        """Say what the servers do not do; empty if they do everything. Valid after `prepare`."""
        said = [
            text
            for (url, stage), trial in self._trials.items()
            if trial.is_finished
            for text in describe(url, self._profiles[stage].model, trial.found, SAMPLING)
        ]
        return "; ".join(said)

    def abilities(self) -> dict[tuple[str, StageName], Abilities]:
        """Return what each server takes, by its address and the stage."""
        return {place: trial.found for place, trial in self._trials.items() if trial.is_finished}

    def _send(self, endpoint: Endpoint, request: CompletionRequest, within: Patience) -> Generated:
        able = self._try_abilities(endpoint, request.stage)
        most = self._max_tokens(request)
        if request.schema is None:
            return self._request(endpoint, request, within, able, most)
        if able.constraint is not None:
            try:
                return self._request(endpoint, request, within, able, most)
            except (Rejected, UnsupportedSchema):
                pass  # this schema is too much for it; the answer is checked without one too
        free = able._replace(constraint=None)
        generated = self._request(endpoint, request, within, free, most)
        return generated._replace(is_unconstrained=True)

    def _try_abilities(self, endpoint: Endpoint, stage: StageName) -> Abilities:
        """Return what the server takes; the first request of each model finds it out."""
        place = endpoint.url, stage
        trial = self._trials[place]
        if not trial.is_finished:
            with self._locks[place]:
                loading, answering = self._loading(stage), self._patience(stage)

                def ask(request: CompletionRequest, able: Abilities, tokens: int) -> Generated:
                    within = loading if request.schema is None else answering
                    return self._request(endpoint, request, within, able, tokens)

                trial.run(ask)
        return trial.found

    def _request(
        self,
        endpoint: Endpoint,
        request: CompletionRequest,
        within: Patience,
        able: Abilities,
        max_tokens: int,
    ) -> Generated:
        profile = self._profiles[request.stage]
        body = build_body(request, profile.model, profile.options, self._route, max_tokens, able)
        return send(endpoint.client, PATHS[self._route], body, within, self._key)

    def _max_tokens(self, request: CompletionRequest) -> int:
        """Return the most tokens of an answer.

        A server that says its context refuses a request for more than it has left.
        """
        predict = int(self._profiles[request.stage].options["num_predict"])  # type: ignore[arg-type]  # typed as whole by the Modelfile
        context = self._contexts.get(request.stage)
        left = (context or self.context_size(request.stage)) - estimated_tokens(request.prompt)
        if request.max_tokens is not None:
            return request.max_tokens
        if predict < 0 or (context is not None and left < predict):
            return max(1, left)
        return max(1, predict)
