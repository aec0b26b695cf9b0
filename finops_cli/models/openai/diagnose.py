"""Diagnose servers of OpenAI's API: reachable, with the models, and what they can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from finops_cli.errors import FinopsError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.diagnosis import Diagnosis, LiveTest, diagnose_error
from finops_cli.models.openai import api
from finops_cli.models.openai.abilities import SAMPLING, describe
from finops_cli.models.openai.api_key import VARIABLE, ApiKey, read_api_key
from finops_cli.models.openai.connect import find_modelfile, open_openai, pick_models
from finops_cli.models.servers import hosts

_NAME_SERVERS = "name the server as --host http://HOST:PORT"


def diagnose_servers(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    """Diagnose the servers of `request`, if it names this backend.

    Without a live test no model is asked.
    """
    if request.backend != "openai":
        if request.api_key_file is not None or request.api is not None:
            detail = "--api-key-file and --model-api: only for --backend openai"
            yield Diagnosis("openai", "broken", detail, "add --backend openai")
        return
    try:
        key = read_api_key(request.api_key_file)
        urls = api.resolve_urls(request.hosts)
        for url in urls:
            hosts.judge_address(url, kb.models.external_servers)
    except FinopsError as error:
        yield diagnose_error("openai", error, "broken", _NAME_SERVERS)
        return
    place = request.api_key_file or VARIABLE
    yield Diagnosis("api key", "ok", f"from {place}" if key else "none is given")
    yield from _diagnose_lists(urls, request, kb, key)
    if live_test is not None:
        try:
            yield from _diagnose_abilities(request, kb)
            yield from live_test(request, kb)
        except FinopsError as error:
            yield diagnose_error("openai", error, "broken")


def _diagnose_lists(
    urls: tuple[str, ...], request: BackendRequest, kb: KnowledgeBase, key: ApiKey
) -> Iterator[Diagnosis]:
    """Report each server, then the servers of each stage."""
    names = {stage: request.model(stage, kb) for stage in request.stages}
    found: dict[str, list[str]] = {stage: [] for stage in names}
    for url in urls:
        try:
            listed = api.list_models(url, key)
        except FinopsError as error:
            yield diagnose_error("openai", error, "broken")
            continue
        owners = ", ".join(sorted({model.owner for model in listed if model.owner}))
        kind = f" ({owners})" if owners else ""
        yield Diagnosis("openai", "ok", f"{url}{kind} lists {api.describe_models(listed)}")
        for stage, model in pick_models(listed, names).items():
            context = model.context_length
            said = f", context {context:,}" if context is not None else ""
            found[stage].append(f"{url}{said}")
    for stage, name in names.items():
        what = f"{stage} model"
        if found[stage]:
            prompt = find_modelfile(stage, name) or stage
            detail = f"{name} at {'; '.join(found[stage])}; prompt of {prompt}.Modelfile"
            yield Diagnosis(what, "ok", detail)
        else:
            cure = f"name a model that is listed: --{stage}-model NAME"
            yield Diagnosis(what, "broken", f"no server lists {name}", cure)


def _diagnose_abilities(request: BackendRequest, kb: KnowledgeBase) -> Iterator[Diagnosis]:
    """Report what each server takes: schemas, options of sampling."""
    model, _ = open_openai(request, kb)
    with closing(model):
        for stage in request.stages:
            model.prepare(stage)
        for (url, stage), found in model.abilities().items():
            lacking = describe(url, request.model(stage, kb), found, SAMPLING)
            if lacking:
                cure = "none needed: each answer is checked; another server may do more"
                yield Diagnosis("schema", "poor", "; ".join(lacking), cure)
            elif found.constraint is not None:
                detail = f"{url} holds {request.model(stage, kb)} to a schema by"
                yield Diagnosis("schema", "ok", f"{detail} {found.constraint.name}")
