"""Which rules a call uses: the bundled ones, a folder, or rules that were kept by their digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from finops_cli.errors import UsageError

KbStore = Annotated[
    Path | None,
    typer.Option(
        "--kb-store",
        envvar="FINOPS_KB_STORE",
        metavar="DIR",
        help="Folder of the rules that finops kb save keeps (default: in your data folder).",
        show_envvar=True,
    ),
]


@dataclass
class RulesChoice:
    """The options of the program that choose rules."""

    kb_dir: Path | None = None
    digest: str | None = None
    """The first digits of the digest of rules that were kept."""
    store: Path | None = None

    @cached_property
    def folder(self) -> Path:
        """Return the folder of the rules. Raises UsageError where none were kept."""
        from finops_cli.kb.load import bundled_kb_dir
        from finops_cli.kb.store import require_rules

        if self.kb_dir is not None and self.digest is not None:
            raise UsageError("--kb and --kb-digest exclude each other", "give one of them")
        if self.digest is not None:
            return require_rules(self.digest, self.store_dir).folder
        return self.kb_dir if self.kb_dir is not None else bundled_kb_dir()

    @property
    def store_dir(self) -> Path:
        """Return the folder in which rules are kept."""
        from finops_cli.kb.store import default_store

        return self.store if self.store is not None else default_store()


def kb_store_of(context: typer.Context, store: Path | None = None) -> Path:
    """Return the folder in which rules are kept; `store` is the option of the command itself."""
    return store if store is not None else choice_of(context).store_dir


def choice_of(context: typer.Context) -> RulesChoice:
    """Return the options of the program that choose rules; none where nothing set them."""
    return context.obj if isinstance(context.obj, RulesChoice) else RulesChoice()
