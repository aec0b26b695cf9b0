"""Connect to Ollama servers.

The servers and their models are inspected before any record is sent.
"""

from __future__ import annotations

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.ollama import api, hosts, versions
from finops_cli.models.ollama.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.ollama.model import OllamaModel, Profile, settings_text
from finops_cli.models.ollama.placement import find_placement
from finops_cli.models.ollama.timeouts import TimedTransport
from finops_cli.models.prompts import Conversation, prompts_sha256, sentiment_text
from finops_cli.models.protocol import Origin, names_by_stage
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.tasks import RUN_TASKS
from finops_cli.rules.handoff import NotApplicable
from finops_cli.verify.codecs import FAIL

_REQUIRED_OPTIONS = (
    "num_ctx",
    "num_predict",
    "temperature",
    "top_p",
    "top_k",
    "repeat_penalty",
    "stop",
)
"""Options that finops always sends, because their defaults differ between versions of Ollama."""


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


def build_profile(stage: StageName, declared: str | None, model: str, kb: KnowledgeBase) -> Profile:
    """Build the request settings of `stage`: all parameters of the Modelfile that the model was
    trained for.

    `declared` is the name of that Modelfile in the model's card. Raises UsageError for an unknown
    name.
    """
    name = bundled.find_prompt_modelfile(stage, declared, model)
    path, options = bundled.modelfile(name).path, typed_parameters(bundled.modelfile(name))
    missing = [name for name in _REQUIRED_OPTIONS if name not in options]
    if missing:
        raise UsageError(
            f"{path}: PARAMETER {missing[0]} is missing; servers of different versions use"
            " different defaults",
            "add the PARAMETER line to the Modelfile",
        )
    reserve, context = kb.models.tokens[f"{stage}_reserve"], options["num_ctx"]
    if isinstance(context, int) and reserve >= context:
        raise UsageError(
            f"kb entry model.tokens: {stage}_reserve {reserve:,} leaves no room for a prompt in"
            f" num_ctx {context:,} of {path}",
            "lower the reserve in the knowledge base, or raise num_ctx in the Modelfile",
        )
    return Profile(model=model, options=options, probe=_probe_text(stage, name, kb), modelfile=name)


def _probe_text(stage: StageName, modelfile: str, kb: KnowledgeBase) -> str:
    """Return the prompt that warms a model up: of a text, or of a record."""
    own = {STAGE: sentiment_text}.get(stage)
    return build_probe(stage, modelfile, kb).text if own is None else own(_PROBE_TEXT)


_PROBE_TEXT = "Operating profit rose to $12.5 million, and the outlook was left unchanged."


def build_probe(stage: StageName, modelfile: str, kb: KnowledgeBase) -> Conversation:
    """Build the prompt of the bundled test record (`modelfiles/probe.json`)."""
    fail = FAIL.read(exact_json.decode((bundled_dir("modelfiles") / "probe.json").read_bytes()))
    if fail is None:
        raise UsageError("modelfiles/probe.json is not a fail record", "install finops again")
    record = RUN_TASKS[stage].record_of(fail, kb)
    if isinstance(record, NotApplicable):
        raise UsageError(
            f"modelfiles/probe.json has no stage 2: {record.reason}", "install finops again"
        )
    return RUN_TASKS[stage].task(record, kb, modelfile).prompt


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
        hosts.open_client(server.url, transport=TimedTransport(hosts.allows_public(server.url))),
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
