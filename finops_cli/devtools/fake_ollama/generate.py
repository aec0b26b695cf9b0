"""`/api/generate` and `/api/chat`: choose the behaviour that answers a request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from finops_cli.devtools.fake_ollama.behaviours import (
    BUSY,
    Behaviour,
    CorrectAnswer,
    ReceivedRequest,
)
from finops_cli.devtools.fake_ollama.http_writer import ClientGone, HttpWriter, timestamp
from finops_cli.devtools.fake_ollama.models import short_name
from finops_cli.devtools.fake_ollama.reference_answers import correct_text, turns
from finops_cli.devtools.fake_ollama.requests import (
    Endpoint,
    OllamaRequest,
    Refusal,
    parse_request,
    prompt_of,
)
from finops_cli.devtools.fake_ollama.response import ResponseStream, cut_prompt
from finops_cli.devtools.fake_ollama.slots import Loaded, QueueFull
from finops_cli.devtools.fake_ollama.state import ServerState
from finops_cli.kb.load import bundled_kb_dir, load_kb


def answer_generation(
    server: ServerState, endpoint: Endpoint, writer: HttpWriter, body: dict[str, Any]
) -> None:
    """Answer a request to generate. Raises Refusal."""
    behaviour = _behaviour(server, endpoint, body)
    request = parse_request(endpoint, body, server.models)
    response = ResponseStream(
        request=request,
        writer=writer,
        make_correct_text=partial(_right, request),
        chunk_tokens=server.chunk_tokens,
        token_seconds=server.token_seconds,
    )
    if behaviour.at_once:
        behaviour.respond(response)
    elif not request.prompt and request.keep_alive == timedelta(0):
        server.slots.unload(request.model)
        writer.json(200, _empty(request, "unload"))
    else:
        _run(server, response, writer, behaviour)


def _behaviour(server: ServerState, endpoint: Endpoint, body: dict[str, Any]) -> Behaviour:
    """Return the behaviour that the script chooses. The script sees every request for text,
    including those that cannot be carried out.
    """
    name = str(body.get("model") or "")
    prompt = prompt_of(endpoint, body, server.models.get(name))
    if not prompt or body.get("_debug_render_only"):
        return CorrectAnswer()
    prompt_turns = turns(prompt)
    request = server.record_request(
        lambda number, attempt: ReceivedRequest(
            number=number,
            model=short_name(name),
            stage=prompt_turns.stage,
            prompt=prompt,
            body=body,
            attempt=attempt,
        ),
        prompt_turns.user,
    )
    return server.script(request)


def _right(request: OllamaRequest, change: Callable[[dict[str, Any]], Any] | None) -> str:
    constrained = request.format is not None and request.endpoint == "generate"
    return correct_text(request.prompt, constrained, load_kb(bundled_kb_dir()), change)


def _run(
    server: ServerState, response: ResponseStream, writer: HttpWriter, behaviour: Behaviour
) -> None:
    request, gone = response.request, writer.gone
    try:
        with server.slots.runner(
            request.model, request.settings, request.keep_alive, gone
        ) as runner:
            if not request.prompt:
                writer.json(200, _empty(request, "load"))
            elif request.render_only:
                writer.json(
                    200,
                    {**_empty(request, None), "_debug_info": {"rendered_template": request.prompt}},
                )
            else:
                with server.slots.slot(runner, gone) as response.leave_slot:
                    _generate(server, response, behaviour, runner)
    except QueueFull as error:
        raise Refusal(503, BUSY) from error
    except ClientGone:
        server.client_left(response.finished)


def _generate(
    server: ServerState, response: ResponseStream, behaviour: Behaviour, runner: Loaded
) -> None:
    llama = server.llamas.get(response.request.model.full_name)
    if llama is not None:
        response.prompt_tokens = llama.count(response.request)
        response.generate = llama.generate
    response.loaded()
    response.prompt_tokens = cut_prompt(response.prompt_tokens, response.request)
    response.drop_runner = partial(server.slots.drop, runner)
    behaviour.respond(response)


def _empty(request: OllamaRequest, reason: str | None) -> dict[str, Any]:
    """Make an answer without text."""
    answer: dict[str, Any] = (
        {"message": {"role": "assistant", "content": ""}}
        if request.endpoint == "chat"
        else {"response": ""}
    )
    done = {"done": False} if reason is None else {"done": True, "done_reason": reason}
    return {"model": request.name, "created_at": timestamp(), **answer, **done}
