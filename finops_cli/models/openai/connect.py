"""Connect to servers of OpenAI's API. Each is asked for its models before any record is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError, MissingPiece, Unfinished
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.bundled import list_modelfiles
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.openai import api
from finops_cli.models.openai.api_key import ApiKey, read_api_key
from finops_cli.models.openai.model import OpenAIModel
from finops_cli.models.openai.requests import Route
from finops_cli.models.prompts import prompts_sha256
from finops_cli.models.protocol import Origin, names_by_stage
from finops_cli.models.servers import hosts
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.servers.model import settings_text
from finops_cli.models.servers.profiles import build_profile
from finops_cli.models.servers.timeouts import TimedTransport

BACKEND = "openai"
_OTHER = "other"
_OWN_PREFIX = "finops-"


class Server(NamedTuple):
    """A server, and the models of a run that it lists, by stage."""

    url: str
    models: Mapping[StageName, api.ServedModel]


def open_openai(request: BackendRequest, kb: KnowledgeBase) -> tuple[OpenAIModel, tuple[str, ...]]:
    """Return a model, and notices about servers that are not used.

    Raises MissingPiece or UsageError if a stage has no server.
    """
    key = read_api_key(request.api_key_file)
    servers, notices = _find_servers(request, kb, key)
    settings = kb.models
    names = {stage: request.model(stage, kb) for stage in request.stages}
    profiles = {
        stage: build_profile(stage, find_modelfile(stage, name), name, kb)
        for stage, name in names.items()
    }
    route: Route = "chat" if request.api == "chat" else "completions"
    origin = Origin(
        BACKEND,
        is_model=True,
        models=names_by_stage(names),
        prompt_sha256=prompts_sha256(profiles[stage].modelfile for stage in request.stages),
        settings=settings_text(profiles, request, api=route),
    )
    endpoints = [_open_endpoint(server, request, kb, key) for server in servers]
    model = OpenAIModel(
        origin,
        profiles,
        EndpointPool(endpoints, backend=BACKEND, waits=request.waits),
        settings,
        request.timeout,
        route=route,
        key=key,
        contexts=_find_contexts(servers),
        must_alternate=any(_may_swap(server, kb) for server in servers),
    )
    return model, notices


def find_modelfile(stage: StageName, model: str) -> str | None:
    """Find the Modelfile that a served model was trained for, by its name.

    A server tells nothing else. `finops-tiny-triage`, `tiny-triage.gguf` and `/models/tiny-triage`
    name the Modelfile tiny-triage; other names have the Modelfile of the stage (None).
    """
    name = PurePosixPath(model).name.removesuffix(".gguf").removesuffix(":latest")
    name = name.removeprefix(_OWN_PREFIX)
    return name if name in list_modelfiles(stage) else None


def _find_servers(
    request: BackendRequest, kb: KnowledgeBase, key: ApiKey
) -> tuple[list[Server], tuple[str, ...]]:
    """Return the servers that list a model of the run, and a sentence for each other server.

    Raises MissingPiece if nobody lists the model of a stage.
    """
    urls = api.resolve_urls(request.hosts)
    for url in urls:
        hosts.judge_address(url, kb.models.external_servers)
    names = {stage: request.model(stage, kb) for stage in request.stages}
    servers: list[Server] = []
    notices: list[str] = []
    told: list[str] = []
    errors: list[FinopsError] = []
    for url in urls:
        try:
            listed = api.list_models(url, key)
        except (MissingPiece, Unfinished) as error:
            errors.append(error)
            notices.append(f"not used: {error}")
            told.append(str(error))
            continue
        told.append(f"{url} lists {api.describe_models(listed)}")
        server = Server(url, pick_models(listed, names))
        if server.models:
            servers.append(server)
        else:
            notices.append(f"not used: {told[-1]}")
    if len(errors) == len(urls):
        raise _no_server(errors)
    for stage, name in names.items():
        if not any(stage in server.models for server in servers):
            raise MissingPiece(
                f"no server lists the model {name} of stage {stage}; {'; '.join(told)}",
                f"name a model that is listed: --{stage}-model NAME; or start a server with that"
                " model, and name it with another --host",
            )
    if key:
        notices += [_plain_text(server.url) for server in servers if _is_plain(server.url)]
    return servers, tuple(notices)


def _no_server(errors: list[FinopsError]) -> FinopsError:
    """Return the error of a run whose servers have all failed."""
    if len(errors) == 1:
        return errors[0]
    cures = dict.fromkeys(filter(None, (error.cure for error in errors)))
    return MissingPiece("; ".join(map(str, errors)), "; ".join(cures))


def pick_models(
    listed: list[api.ServedModel], names: Mapping[StageName, str]
) -> dict[StageName, api.ServedModel]:
    """Return the listed model of each stage, where there is one."""
    found = {
        stage: next((model for model in listed if model.is_named(name)), None)
        for stage, name in names.items()
    }
    return {stage: model for stage, model in found.items() if model is not None}


def _is_plain(url: str) -> bool:
    """Return true if a key goes over a network unencrypted."""
    parts = urlsplit(url)
    is_here = all(address in ("127.0.0.1", "::1") for address in hosts.resolve_addresses(url))
    return parts.scheme == "http" and not is_here


def _plain_text(url: str) -> str:
    return f"the key goes to {url} unencrypted; use https where the network is shared"


def _open_endpoint(
    server: Server, request: BackendRequest, kb: KnowledgeBase, key: ApiKey
) -> Endpoint:
    settings = kb.models
    each = settings.server_requests
    slots: dict[StageName, int] = {
        stage: request.workers or each.get(model.owner or _OTHER, each[_OTHER])
        for stage, model in server.models.items()
    }
    client = hosts.open_client(
        server.url,
        transport=TimedTransport(hosts.allows_public(server.url), hosts.is_secure(server.url)),
        headers=key.headers(),
    )
    return Endpoint(
        server.url, client, CircuitBreaker(settings.breaker, gives_up=request.waits), slots
    )


def _may_swap(server: Server, kb: KnowledgeBase) -> bool:
    """Return true if the server may load its models in turn: it lists several of the run, and is of
    a kind that is not known to hold them together.
    """
    owners = {model.owner for model in server.models.values()}
    names = {model.name for model in server.models.values()}
    return len(names) > 1 and not owners <= kb.models.server_requests.keys()


def _find_contexts(servers: list[Server]) -> dict[StageName, int]:
    """Return the smallest context of each stage, where a server says it."""
    contexts: dict[StageName, int] = {}
    for server in servers:
        for stage, model in server.models.items():
            if model.context_length is not None:
                known = contexts.get(stage, model.context_length)
                contexts[stage] = min(known, model.context_length)
    return contexts
