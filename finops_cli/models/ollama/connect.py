"""Connect to Ollama servers.

The servers and their models are inspected before any record is sent.
"""

from __future__ import annotations

from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.ollama import api, versions
from finops_cli.models.ollama.model import OllamaModel
from finops_cli.models.ollama.placement import find_placement
from finops_cli.models.prompts import prompts_sha256
from finops_cli.models.protocol import Origin, names_by_stage
from finops_cli.models.servers import hosts
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.servers.model import settings_text
from finops_cli.models.servers.profiles import build_profile
from finops_cli.models.servers.timeouts import TimedTransport


class Server(Struct, frozen=True):
    """A usable server: its address, its version, and the cards of its models by stage."""

    url: str
    version: str
    cards: dict[StageName, api.ModelCard]


def open_ollama(request: BackendRequest, kb: KnowledgeBase) -> tuple[OllamaModel, tuple[str, ...]]:
    """Return a model, and notices about servers that are not used.

    Raises MissingPiece or UsageError if no server can answer.
    """
    servers, notices = _find_usable_servers(request, kb)
    digests = _find_common_digests(servers, request)
    settings = kb.models
    cards = servers[0].cards
    profiles = {
        stage: build_profile(stage, cards[stage].made_for, request.model(stage, kb), kb)
        for stage in request.stages
    }
    origin = Origin(
        "ollama",
        is_model=True,
        models=names_by_stage({stage: request.model(stage, kb) for stage in request.stages}),
        digests=names_by_stage(digests),
        prompt_sha256=prompts_sha256(profiles[stage].modelfile for stage in request.stages),
        settings=settings_text(profiles, request),
    )
    endpoints = [_open_endpoint(server, request, settings) for server in servers]
    endpoint_pool = EndpointPool(endpoints, waits=request.waits)
    model = OllamaModel(
        origin=origin,
        profiles=profiles,
        endpoint_pool=endpoint_pool,
        settings=settings,
        timeout=request.timeout,
        placement_now=lambda: find_placement({server.url: server.cards for server in servers}),
        changes_now=lambda: _find_model_changes(servers, request, kb),
    )
    return model, notices


def _find_usable_servers(
    request: BackendRequest, kb: KnowledgeBase
) -> tuple[list[Server], tuple[str, ...]]:
    """Return the usable servers, and a reason for each other server.

    A single server raises its own error.
    """
    urls = hosts.resolve_hosts(request.hosts)
    for url in urls:
        hosts.judge_address(url, kb.models.external_servers)
    servers: list[Server] = []
    errors: list[FinopsError] = []
    for url in urls:
        try:
            servers.append(inspect_server(url, request, kb))
        except (MissingPiece, Unfinished) as error:
            errors.append(error)
    if not servers:
        raise errors[0]
    return servers, tuple(f"not used: {error}" for error in errors)


def inspect_server(url: str, request: BackendRequest, kb: KnowledgeBase) -> Server:
    """Inspect the server at `url`.

    Raises MissingPiece if it is too old or lacks a model, UsageError if it would send data
    elsewhere.
    """
    version = api.version(url)
    versions.refuse_too_old(version)
    cards: dict[StageName, api.ModelCard] = {}
    for stage in request.stages:
        name = request.model(stage, kb)
        card = api.card(url, name)
        if card is None:
            raise MissingPiece(
                f"{url} has no model {name}",
                f"make it with `finops create --stage {stage}`, list models with `finops models`,"
                f" or use another with --{stage}-model NAME",
            )
        if card.remote_host and kb.models.external_servers == "refuse":
            raise UsageError(
                f"{url}: {name} runs at {card.remote_host}, and fail records must stay in your"
                " network",
                "use a local model",
            )
        cards[stage] = card
    return Server(url, version, cards)


def _find_common_digests(servers: list[Server], request: BackendRequest) -> dict[str, str]:
    """Return the digest of each stage's model.

    Raises UsageError if two servers have different models under one name.
    """
    digests: dict[str, str] = {}
    for stage in request.stages:
        by_server = {server.url: server.cards[stage].digest for server in servers}
        if len(set(by_server.values())) > 1:
            listing = ", ".join(f"{url} has {digest[:12]}" for url, digest in by_server.items())
            raise UsageError(
                f"{servers[0].cards[stage].name} is not the same model everywhere: {listing}",
                "create it again on one of them",
            )
        digests[stage] = next(iter(by_server.values()))
    return digests


def _open_endpoint(server: Server, request: BackendRequest, settings: ModelSettings) -> Endpoint:
    slots: dict[StageName, int] = {
        stage: (
            1
            if server.cards[stage].architecture in settings.serial_architectures
            else request.workers or 1
        )
        for stage in request.stages
    }
    return Endpoint(
        server.url,
        hosts.open_client(
            server.url,
            transport=TimedTransport(hosts.allows_public(server.url), hosts.is_secure(server.url)),
        ),
        CircuitBreaker(settings.breaker, gives_up=request.waits),
        slots,
    )


def _find_model_changes(
    servers: list[Server], request: BackendRequest, kb: KnowledgeBase
) -> tuple[str, ...]:
    """Return a sentence for each model that was replaced during the run.

    A server that does not answer is ignored.
    """
    changed = []
    for server in servers:
        for stage in request.stages:
            try:
                now = api.card(server.url, request.model(stage, kb))
            except FinopsError:
                continue
            was = server.cards[stage].digest
            if now is not None and now.digest != was:
                changed.append(
                    f"{now.name} at {server.url} was replaced during the run ({was[:12]} is now"
                    f" {now.digest[:12]})"
                )
    return tuple(changed)
