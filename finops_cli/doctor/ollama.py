"""The state of Ollama servers: reachable, new enough, with the models, and right on a live
record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finops_cli.doctor.diagnosis import Diagnosis, State
from finops_cli.doctor.live_record import live_record
from finops_cli.errors import FinopsError, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.bundled import made_for
from finops_cli.models.ollama import api, hosts, versions
from finops_cli.models.ollama.connect import probe_conversation, profile
from finops_cli.models.protocol import ModelStage

_ONE_LINE = 60


def servers(wanted: BackendRequest, kb: KnowledgeBase, live: bool) -> Iterator[Diagnosis]:
    """What each server of `wanted` can do. `live`: load the models and put one record through them.

    A server that nobody named may be absent; one that was named must work.
    """
    try:
        urls = hosts.hosts_of(wanted.hosts)
    except UsageError as error:
        yield Diagnosis("ollama", "broken", str(error), "name the server as http://HOST:PORT")
        return
    bad: State = "broken" if wanted.hosts else "absent"
    for url in urls:
        try:
            yield from _server(url, replace(wanted, backend="ollama", hosts=(url,)), kb, live, bad)
        except FinopsError as error:
            yield Diagnosis("ollama", bad, str(error), error.cure or None)


def _server(
    url: str, wanted: BackendRequest, kb: KnowledgeBase, live: bool, bad: State
) -> Iterator[Diagnosis]:
    if kb.models.external_servers == "refuse":
        hosts.refuse_outside(url)
    version = api.version(url)
    versions.refuse_too_old(version)
    yield _version(url, version)
    cards = {stage: api.card(url, wanted.model(stage, kb)) for stage in wanted.stages}
    for stage, card in cards.items():
        yield _model(stage, card, wanted, kb, bad)
    there = {
        stage: card for stage, card in cards.items() if card is not None and not card.remote_host
    }
    if live:
        for stage, card in there.items():
            yield _template(url, stage, card, kb)
        if tuple(there) == wanted.stages:
            yield from live_record(wanted, kb)
    yield from _memory(url, [wanted.model(stage, kb) for stage in there])


def _version(url: str, version: str) -> Diagnosis:
    if not versions.known(version):
        return Diagnosis(
            "ollama",
            "ok",
            f"{version or 'without a version'} at {url}: a build from source, taken as new",
        )
    lacking = [gate for gate in versions.gates(version) if not gate.required]
    if not lacking:
        return Diagnosis("ollama", "ok", f"{version} at {url}")
    told = "; ".join(f"{gate.what} (since {gate.version})" for gate in lacking)
    return Diagnosis(
        "ollama",
        "poor",
        f"{version} at {url} lacks: {told}",
        "install a newer Ollama; finops works around it",
    )


def _model(
    stage: ModelStage,
    card: api.ModelCard | None,
    wanted: BackendRequest,
    kb: KnowledgeBase,
    bad: State,
) -> Diagnosis:
    what, name = f"{stage} model", wanted.model(stage, kb)
    if card is None:
        return Diagnosis(what, bad, f"no model {name}", f"finops create --stage {stage}")
    if card.remote_host:
        where = f"{name} runs at {card.remote_host}: fail records may not leave the house"
        return Diagnosis(what, bad, where, f"create a local model: finops create --stage {stage}")
    context = int(profile(stage, card.made_for, name, kb).options["num_ctx"])  # type: ignore[arg-type]  # typed as whole by the Modelfile
    slots = (
        "1 request at a time"
        if card.architecture in kb.models.serial_architectures
        else "requests side by side (OLLAMA_NUM_PARALLEL)"
    )
    told = (
        f"{name} {card.digest[:12]}, {card.architecture} {card.quantization}, {slots}, context"
        f" {context:,} of {card.context_length or 0:,}"
    )
    if card.context_length is not None and card.context_length < context:
        return Diagnosis(
            what,
            "poor",
            told,
            f"the model was made for shorter prompts than {context:,} tokens; take another",
        )
    return Diagnosis(what, "ok", told)


def _template(url: str, stage: ModelStage, card: api.ModelCard, kb: KnowledgeBase) -> Diagnosis:
    """The prompt that the model's own template makes, held against ours.

    Ours is sent raw, so a difference only matters to `ollama run`.
    """
    what = f"{stage} prompt"
    ours = probe_conversation(stage, made_for(stage, card.made_for, card.name), kb)
    messages = [{"role": "system", "content": ours.system}, {"role": "user", "content": ours.user}]
    body = {
        "model": card.name,
        "messages": messages,
        "think": ours.thinks,
        "stream": False,
        "_debug_render_only": True,
    }
    try:
        answer = api.ask(url, "POST", "/api/chat", kb.models.timeouts["load"], body)
    except FinopsError as error:
        return Diagnosis(
            what,
            "poor",
            f"the server does not tell how it renders: {error}",
            "none needed: finops sends its own prompt",
        )
    info = answer.get("_debug_info")
    theirs = info.get("rendered_template") if isinstance(info, dict) else None
    if not isinstance(theirs, str):
        return Diagnosis(
            what,
            "poor",
            "the server does not tell how it renders",
            "none needed: finops sends its own prompt",
        )
    if theirs == ours.text:
        return Diagnosis(
            what,
            "ok",
            f"the model's own template makes the same {len(theirs):,} characters as finops",
        )
    at = next(
        (i for i, (a, b) in enumerate(zip(ours.text, theirs, strict=False)) if a != b),
        min(len(ours.text), len(theirs)),
    )
    shown = (
        f"finops {ours.text[at : at + _ONE_LINE]!r}, the template {theirs[at : at + _ONE_LINE]!r}"
    )
    return Diagnosis(
        what,
        "poor",
        f"differ from character {at}: {shown}",
        "none needed for finops, which sends its own; `ollama run` differs",
    )


def _memory(url: str, names: list[str]) -> Iterator[Diagnosis]:
    """Where the loaded models are, and with which context."""
    wanted = {api.short(name) for name in names}
    loaded = [model for model in api.loaded(url) if model.name in wanted]
    for model in loaded:
        share = round(100 * model.size_vram / model.size) if model.size else 0
        context = f", context {model.context_length:,}" if model.context_length else ""
        told = f"{model.name} {share} % on the GPU, {model.size / 1e9:.1f} GB{context}"
        if share == 100:
            yield Diagnosis("memory", "ok", told)
        else:
            yield Diagnosis(
                "memory",
                "poor",
                told,
                "what is not on the GPU is slow: free GPU memory, or a smaller quantization",
            )
    if loaded and len(loaded) < len(wanted):
        absent = ", ".join(sorted(wanted - {model.name for model in loaded}))
        yield Diagnosis(
            "memory",
            "poor",
            f"{absent} is not loaded beside it",
            "both may not fit: the models then take turns",
        )
