"""The models of one or several Ollama servers: the body of a request, and who holds which model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from finops_cli.domain.stage_names import StageName
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.ollama.generate import generate
from finops_cli.models.ollama.placement import Placement
from finops_cli.models.ollama.unloading import Unloading
from finops_cli.models.protocol import CompletionRequest, Origin
from finops_cli.models.recovery.ladder import ON_SERVER
from finops_cli.models.servers.answers import Generated, Patience
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.servers.model import Profile, ServerModel
from finops_cli.models.servers.recovery import ServerRecovery


class OllamaModel(ServerModel):
    """Model on one or several Ollama servers.

    `placement_now` asks the servers where the models are. `changes_now` asks if models were
    replaced.
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
        super().__init__(origin, profiles, endpoint_pool, settings, timeout)
        self._placement_now = placement_now
        self._sharing = ""
        self._is_placed = False
        self._answered: set[StageName] = set()
        self._placing = Lock()
        self._changes_now = changes_now
        self._prepared: set[StageName] = set()

    def _open_recovery(self) -> ServerRecovery:
        models = [profile.model for profile in self._profiles.values()]
        unloading = Unloading(models, self._settings, self._warm_up_all)
        return ServerRecovery(
            self._endpoint_pool, self._settings, ON_SERVER, unloading.reload, unloading.list_loaded
        )

    def prepare(self, stage: StageName) -> None:
        """Load the model on every server at the same time, as `ServerModel.prepare` does."""
        super().prepare(stage)
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

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for each model that was replaced during the run."""
        return self._changes_now()

    def _send(self, endpoint: Endpoint, request: CompletionRequest, within: Patience) -> Generated:
        return generate(endpoint.client, self.body(request), within)

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
