"""The correct answers of the models: the engine's answer to the record in a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from finops_cli.datasets.reasoning.render import render_reasoning
from finops_cli.domain import exact_json, text_form
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import CASE_HEADING, system_prompt
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import FAIL, RESOLVER_INPUT

_TURN = re.compile(r"<\|im_start\|>(system|user)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
_HEADINGS = {text_form.HEADING: "triage", CASE_HEADING: "resolver"}
NO_RECORD = (
    "No fail record is in this prompt. the fake Ollama answers the prompts of finops and no others."
)
_OPEN, _CLOSE = "<think>\n", "\n</think>\n\n"
Change = Callable[[dict[str, Any]], Any]


class Turns(NamedTuple):
    """The turns of a ChatML prompt. A prompt without turns is one user turn."""

    system: str
    user: str
    """The first user turn that asks for a triage or a resolution; the last one where none does."""

    @property
    def stage(self) -> str | None:
        for stage in _HEADINGS.values():
            if self.system == system_prompt(stage):
                return stage
        return next(
            (stage for heading, stage in _HEADINGS.items() if self.user.startswith(heading)), None
        )


def turns(prompt: str) -> Turns:
    """Split `prompt` into its turns."""
    found = _TURN.findall(prompt)
    system = next((text for role, text in found if role == "system"), "")
    users = [text for role, text in found if role == "user"] or [prompt]
    return Turns(
        system, next((text for text in users if text.startswith(tuple(_HEADINGS))), users[-1])
    )


class _Answer(NamedTuple):
    value: Triage | Resolution
    reasoning: str | None


def correct_text(
    prompt: str, constrained: bool, kb: KnowledgeBase, change: Change | None = None
) -> str:
    """Return the text with which a flawless model continues `prompt`; `change` edits the JSON
    object before it is written.

    After a closed think block, or when a grammar constrains the first token, the text is the object
    alone.
    """
    answer = _answer(turns(prompt), kb)
    if answer is None:
        return NO_RECORD
    given = exact_json.decode(exact_json.encode(answer.value))
    text = exact_json.encode(given if change is None else change(given)).decode()
    behind = prompt.rstrip()
    if constrained or behind.endswith("</think>"):
        return text
    if behind.endswith("<think>"):
        return f"{answer.reasoning or 'By the rules of the desk.'}{_CLOSE}{text}"
    return text if answer.reasoning is None else f"{_OPEN}{answer.reasoning}{_CLOSE}{text}"


def _answer(prompt_turns: Turns, kb: KnowledgeBase) -> _Answer | None:
    """Return the answer, or None if the prompt has no record that can be answered."""
    if prompt_turns.user.startswith(text_form.HEADING):
        fields = text_form.parse(prompt_turns.user)
        fail = FAIL.read(fields) if isinstance(fields, dict) else None
        return None if fail is None else _Answer(triage(fail, kb), None)
    if prompt_turns.user.startswith(CASE_HEADING):
        return _resolution(prompt_turns.user.removeprefix(CASE_HEADING), kb)
    return None


def _resolution(text: str, kb: KnowledgeBase) -> _Answer | None:
    try:
        case = RESOLVER_INPUT.read(exact_json.decode(text))
        if case is None:
            return None
        plan = resolve(case, kb)
        return _Answer(plan, render_reasoning(case, plan, kb))
    except (ValueError, ArithmeticError):
        return None
