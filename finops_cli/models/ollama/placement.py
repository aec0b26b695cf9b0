"""Where the servers hold their models: in memory together or not, on a GPU or on the processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError
from finops_cli.models.ollama import api


class Placement(NamedTuple):
    """The state of all servers, with every model loaded."""

    must_alternate: bool = False
    """True if a server no longer holds one of the models, so that each change loads it again."""
    on_processor: tuple[str, ...] = ()
    """Addresses of servers on whose processor several models must take turns."""
    sharing: str = ""
    """A sentence about models that share a processor; empty if none do."""


def find_placement(servers: Mapping[str, Mapping[StageName, api.ModelCard]]) -> Placement:
    """Ask each server, by its address, where the models of its cards are.

    A server that does not report its models is ignored, unless none does.
    """
    on_processor, sharing, silent = [], [], 0
    for url, cards in servers.items():
        expected = {api.short(card.name) for card in cards.values()}
        try:
            loaded = [model for model in api.list_loaded(url) if model.name in expected]
        except FinopsError:
            silent += 1
            continue
        if {model.name for model in loaded} != expected:
            return Placement(must_alternate=True)
        if share_processor(loaded):
            threads = fixed_threads(list(cards.values()))
            sharing.append(describe_sharing(url, threads))
            if threads is None:
                on_processor.append(url)
    return Placement(silent == len(servers), tuple(on_processor), "; ".join(sharing))


def share_processor(loaded: Sequence[api.Loaded]) -> bool:
    """Return true if several models are loaded, and none of them is on a GPU."""
    return len(loaded) > 1 and not any(model.size_vram for model in loaded)


def fixed_threads(cards: Sequence[api.ModelCard]) -> tuple[int, ...] | None:
    """Return the `num_thread` of each model; None unless each has one.

    It is a parameter of the model, from its Modelfile: in a request it would load the model again.
    """
    threads = [card.parameters.get("num_thread") for card in cards]
    fixed = tuple(each for each in threads if isinstance(each, int) and each > 0)
    return fixed if len(fixed) == len(threads) else None


def describe_sharing(url: str, threads: tuple[int, ...] | None) -> str:
    """Say how the models at `url` share its processor."""
    if threads is None:
        return f"no model at {url} is on a GPU: the models take turns on its processor"
    counts = " and ".join(map(str, threads))
    return f"no model at {url} is on a GPU: the models share its cores (num_thread {counts})"
