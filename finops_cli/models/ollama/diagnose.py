"""Diagnose Ollama servers: reachable, new enough, with the models, and right on a live record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.bundled import find_prompt_modelfile
from finops_cli.models.diagnosis import Diagnosis, LiveTest, State, diagnose_error
from finops_cli.models.ollama import api, versions
from finops_cli.models.ollama.placement import describe_sharing, fixed_threads, share_processor
from finops_cli.models.servers import hosts
from finops_cli.models.servers.profiles import build_probe, build_profile

_EXCERPT_CHARS = 60
_NOT_RENDERED = "the server does not report how it renders the prompt"
_NO_CURE_NEEDED = "none needed: finops sends its own prompt"


def diagnose_servers(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    """Diagnose each server of `request`.

    The default server may be absent; a server that the call names must work.
    """
    try:
        urls = hosts.resolve_hosts(request.hosts)
    except UsageError as error:
        yield diagnose_error("ollama", error, "broken", "name the server as http://HOST:PORT")
        return
    if_missing: State = "broken" if request.hosts else "absent"
    for url in urls:
        server = replace(request, backend="ollama", hosts=(url,), ggufs={})
        try:
            yield from _diagnose_server(url, server, kb, live_test, if_missing)
        except FinopsError as error:
            yield diagnose_error("ollama", error, if_missing)


def _diagnose_server(
    url: str,
    request: BackendRequest,
    kb: KnowledgeBase,
    live_test: LiveTest | None,
    if_missing: State,
) -> Iterator[Diagnosis]:
    hosts.judge_address(url, kb.models.external_servers)
    version = api.version(url)
    versions.refuse_too_old(version)
    yield _diagnose_version(url, version)
    cards = {stage: api.card(url, request.model(stage, kb)) for stage in request.stages}
    for stage, card in cards.items():
        yield _diagnose_model(stage, card, request, kb, if_missing)
    usable = {
        stage: card for stage, card in cards.items() if card is not None and not card.remote_host
    }
    if live_test is not None:
        for stage, card in usable.items():
            yield _diagnose_template(url, stage, card, kb)
        if tuple(usable) == request.stages:
            yield from live_test(request, kb)
    yield from _diagnose_memory(url, list(usable.values()))


def _diagnose_version(url: str, version: str) -> Diagnosis:
    if not versions.known(version):
        printable = version or "without a version"
        return Diagnosis(
            "ollama", "ok", f"{printable} at {url}: a build from source, assumed to be new"
        )
    lacking = [gate for gate in versions.gates(version) if not gate.required]
    if not lacking:
        return Diagnosis("ollama", "ok", f"{version} at {url}")
    features = "; ".join(f"{gate.what} (since {gate.version})" for gate in lacking)
    cure = "install a newer Ollama; finops works around it"
    return Diagnosis("ollama", "poor", f"{version} at {url} lacks: {features}", cure)


def _diagnose_model(
    stage: StageName,
    card: api.ModelCard | None,
    request: BackendRequest,
    kb: KnowledgeBase,
    if_missing: State,
) -> Diagnosis:
    what, name = f"{stage} model", request.model(stage, kb)
    if card is None:
        return Diagnosis(what, if_missing, f"no model {name}", f"finops create --stage {stage}")
    if card.remote_host:
        detail = f"{name} runs at {card.remote_host}: fail records must stay in your network"
        cure = f"create a local model: finops create --stage {stage}"
        return Diagnosis(what, if_missing, detail, cure)
    context = int(build_profile(stage, card.made_for, name, kb).options["num_ctx"])  # type: ignore[arg-type]  # typed as whole by the Modelfile
    slots = (
        "1 request at a time"
        if card.architecture in kb.models.serial_architectures
        else "requests side by side (OLLAMA_NUM_PARALLEL)"
    )
    detail = (
        f"{name} {card.digest[:12]}, {card.architecture} {card.quantization}, {slots}, context"
        f" {context:,} of {card.context_length or 0:,}"
    )
    if card.context_length is not None and card.context_length < context:
        cure = f"the model was trained for prompts shorter than {context:,} tokens; use another"
        return Diagnosis(what, "poor", detail, cure)
    return Diagnosis(what, "ok", detail)


def _diagnose_template(
    url: str, stage: StageName, card: api.ModelCard, kb: KnowledgeBase
) -> Diagnosis:
    """Compare the prompt that the model's own template renders with the prompt of finops.

    finops sends its prompt raw, so a difference only affects `ollama run`.
    """
    what = f"{stage} prompt"
    ours = build_probe(stage, find_prompt_modelfile(stage, card.made_for, card.name), kb)
    body = {
        "model": card.name,
        "messages": [
            {"role": "system", "content": ours.system},
            {"role": "user", "content": ours.user},
        ],
        "think": ours.thinks,
        "stream": False,
        "_debug_render_only": True,
    }
    try:
        answer = api.request_json(url, "POST", "/api/chat", kb.models.timeouts["load"], body)
    except FinopsError as error:
        return Diagnosis(what, "poor", f"{_NOT_RENDERED}: {error}", _NO_CURE_NEEDED)
    info = answer.get("_debug_info")
    theirs = info.get("rendered_template") if isinstance(info, dict) else None
    if not isinstance(theirs, str):
        return Diagnosis(what, "poor", _NOT_RENDERED, _NO_CURE_NEEDED)
    if theirs == ours.text:
        detail = f"the model's own template renders the same {len(theirs):,} characters as finops"
        return Diagnosis(what, "ok", detail)
    at = next(
        (i for i, (a, b) in enumerate(zip(ours.text, theirs, strict=False)) if a != b),
        min(len(ours.text), len(theirs)),
    )
    end = at + _EXCERPT_CHARS
    detail = (
        f"differ from character {at}: finops {ours.text[at:end]!r}, the template {theirs[at:end]!r}"
    )
    cure = "none needed for finops, which sends its own; `ollama run` differs"
    return Diagnosis(what, "poor", detail, cure)


def _diagnose_memory(url: str, cards: list[api.ModelCard]) -> Iterator[Diagnosis]:
    """Report where the loaded models are, and with which context."""
    expected = {api.short(card.name) for card in cards}
    loaded = [model for model in api.list_loaded(url) if model.name in expected]
    for model in loaded:
        gpu_pct = round(100 * model.size_vram / model.size) if model.size else 0
        context = f", context {model.context_length:,}" if model.context_length else ""
        detail = f"{model.name} {gpu_pct} % on the GPU, {model.size / 1e9:.1f} GB{context}"
        if gpu_pct == 100:
            yield Diagnosis("memory", "ok", detail)
        else:
            cure = (
                "the part outside the GPU is slow: free GPU memory, or use a smaller quantization"
            )
            yield Diagnosis("memory", "poor", detail, cure)
    if share_processor(loaded):
        yield Diagnosis("processor", "ok", describe_sharing(url, fixed_threads(cards)))
    if loaded and len(loaded) < len(expected):
        absent = ", ".join(sorted(expected - {model.name for model in loaded}))
        cure = "both may not fit; the models then alternate"
        yield Diagnosis("memory", "poor", f"{absent} is not loaded beside it", cure)
