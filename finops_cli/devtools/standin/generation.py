"""/api/generate and /api/chat: from the request to the behaviour that answers it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from finops_cli.devtools.standin.answers import right_text, turns
from finops_cli.devtools.standin.asking import Asked, Endpoint, Refusal, asked, prompt_of
from finops_cli.devtools.standin.behaviours import BUSY, Behaviour, Heard, Right
from finops_cli.devtools.standin.exchange import Exchange, cut_prompt
from finops_cli.devtools.standin.models import short_name
from finops_cli.devtools.standin.slots import Loaded, QueueFull
from finops_cli.devtools.standin.wire import ClientGone, Wire, timestamp
from finops_cli.kb.load import load_book, shipped_kb

if TYPE_CHECKING:
    from finops_cli.devtools.standin.server import StandIn


def answer_generation(
    server: StandIn, endpoint: Endpoint, wire: Wire, body: dict[str, Any]
) -> None:
    """Answer a request to generate. Raises Refusal."""
    behaviour = _behaviour(server, endpoint, body)
    request = asked(endpoint, body, server.models)
    exchange = Exchange(
        request, wire, partial(_right, request), server.chunk_tokens, server.token_seconds
    )
    if behaviour.at_once:
        behaviour.play(exchange)
    elif not request.prompt and request.keep_alive == timedelta(0):
        server.slots.unload(request.model)
        wire.json(200, _empty(request, "unload"))
    else:
        _run(server, exchange, wire, behaviour)


def _behaviour(server: StandIn, endpoint: Endpoint, body: dict[str, Any]) -> Behaviour:
    """What the script says; it hears every request that asks for text, those that cannot be carried
    out too.
    """
    name = str(body.get("model") or "")
    prompt = prompt_of(endpoint, body, server.models.get(name))
    if not prompt or body.get("_debug_render_only"):
        return Right()
    said = turns(prompt)
    heard = server.hear(
        lambda number, attempt: Heard(number, short_name(name), said.stage, prompt, body, attempt),
        said.user,
    )
    return server.script(heard)


def _right(request: Asked, change: Callable[[dict[str, Any]], Any] | None) -> str:
    constrained = request.format is not None and request.endpoint == "generate"
    return right_text(request.prompt, constrained, load_book(shipped_kb()), change)


def _run(server: StandIn, exchange: Exchange, wire: Wire, behaviour: Behaviour) -> None:
    request, gone = exchange.asked, wire.gone
    try:
        with server.slots.runner(
            request.model, request.settings, request.keep_alive, gone
        ) as runner:
            if not request.prompt:
                wire.json(200, _empty(request, "load"))
            elif request.render_only:
                wire.json(
                    200,
                    {**_empty(request, None), "_debug_info": {"rendered_template": request.prompt}},
                )
            else:
                with server.slots.slot(runner, gone):
                    _generate(server, exchange, behaviour, runner)
    except QueueFull as error:
        raise Refusal(503, BUSY) from error
    except ClientGone:
        server.client_left(exchange.finished)


def _generate(server: StandIn, exchange: Exchange, behaviour: Behaviour, runner: Loaded) -> None:
    llama = server.llamas.get(exchange.asked.model.full_name)
    if llama is not None:
        exchange.prompt_tokens = llama.count(exchange.asked)
        exchange.generate = llama.generate
    exchange.loaded()
    exchange.prompt_tokens = cut_prompt(exchange.prompt_tokens, exchange.asked)
    try:
        behaviour.play(exchange)
    finally:
        runner.ends = runner.ends or exchange.dropped


def _empty(request: Asked, reason: str | None) -> dict[str, Any]:
    """An answer without text."""
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": ""}}
        if request.endpoint == "chat"
        else {"response": ""}
    )
    done = {"done": False} if reason is None else {"done": True, "done_reason": reason}
    return {"model": request.name, "created_at": timestamp(), **said, **done}
