"""The commands that a job can run, the options of each, and the command line that they give."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from finops_cli.clock.moments import parse_moment
from finops_cli.service.problems import wrong_value
from finops_cli.service.store.jobs import CERTIFICATE, JobCommandName

OptionKind = Literal["moment", "switch", "flag", "word", "name", "party", "file", "amount", "made"]
"""switch: --NAME or --no-NAME; flag: --NAME or nothing; file: the id of an uploaded file; made: a
file that the job makes beside its output, or nothing.
"""
WITHOUT_MODELS = ("engine", "baseline")
"""The backends that need no language model."""
_MOST_CHARACTERS = 100
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?")
"""Dollars as a text, so that no digit is lost."""
_PARTY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")


class JobOption(NamedTuple):
    """An option of a job, and what it takes."""

    flag: str
    kind: OptionKind
    words: tuple[str, ...] = ()
    default: Any = None


class JobCommand(NamedTuple):
    """How a command is called."""

    options: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    """Options that every call has."""
    resumes: bool = True
    """It goes on where its output ends; else it begins again."""
    has_stats: bool = True
    has_guard: bool = True
    has_calendar: bool = True
    models: tuple[str, ...] = ()
    """The options of models that it takes; empty: the rules alone answer."""
    verb: tuple[str, ...] = ()
    """The words of the command, where they are not its name."""

    @property
    def asks_backend(self) -> bool:
        """Return true if a backend can be chosen."""
        return bool(self.models)


OPTIONS: Mapping[str, JobOption] = {
    "as_of": JobOption("--as-of", "moment"),
    "clock": JobOption("--clock", "word", ("card", "regulation")),
    "timing": JobOption("timing", "switch", default=False),
    "strict_input": JobOption("--strict-input", "flag"),
    "keep_raw": JobOption("--keep-raw", "flag"),
    "on_violation": JobOption("--on-violation", "word", ("repair", "retry", "fallback", "reject")),
    "inventory": JobOption("--inventory", "file"),
    "inventory_as_of": JobOption("--inventory-as-of", "moment"),
    "allow_stale": JobOption("--allow-stale", "flag"),
    "counterparty_history": JobOption("--counterparty-history", "file"),
    "map": JobOption("--map", "file"),
    "accept": JobOption("--accept", "flag"),
    "sent": JobOption("--sent", "file"),
    "prefer": JobOption("--prefer", "word", ("file",)),
    "borrow_budget": JobOption("--borrow-budget", "amount"),
    "certificate": JobOption("--certificate", "made"),
    "fails": JobOption("--fails", "file"),
    "proof": JobOption("--certificate", "file"),
    "raw": JobOption("--raw", "flag"),
    "field": JobOption("--field", "name"),
    "lines": JobOption("--lines", "flag"),
    "split": JobOption("--split", "word", ("none", "sentences")),
    "explain": JobOption("--explain", "flag"),
    "balances": JobOption("--balances", "file"),
    "mode": JobOption("--mode", "word", ("whole", "partial")),
    "objective": JobOption("--objective", "word", ("value", "count")),
    "own": JobOption("--own", "party"),
    "from_fails": JobOption("--from-fails", "flag"),
    "executor": JobOption("--executor", "word", ("local", "ray")),
}
"""Each option of a job by its name."""
_TABLE = ("map", "accept")
_FACTS = ("inventory", "inventory_as_of", "allow_stale", "counterparty_history")
_CLOCK = ("as_of", "clock")
_MODEL = ("keep_raw", "on_violation")
_HOST = ("--host", "--api-key-file", "--model-api", "--timeout")
_LINES = ("--format", "jsonl")
COMMANDS: Mapping[JobCommandName, JobCommand] = {
    "run": JobCommand(
        (*_CLOCK, "timing", "strict_input", *_MODEL, *_TABLE, *_FACTS, "executor"),
        _LINES,
        models=(
            *_HOST,
            *("--triage-model", "--resolver-model", "--triage-gguf", "--resolver-gguf"),
            "--prose",
        ),
    ),
    "triage": JobCommand(
        (*_CLOCK, "timing", "strict_input", *_MODEL, *_TABLE, *_FACTS, "executor"),
        _LINES,
        models=(*_HOST, "--triage-model", "--triage-gguf", "--prose"),
    ),
    "resolve": JobCommand(
        ("timing", "strict_input", *_MODEL, "executor"),
        _LINES,
        has_calendar=False,
        models=(*_HOST, "--resolver-model", "--resolver-gguf", "--prose"),
    ),
    "book": JobCommand(
        (
            *(*_CLOCK, "timing", "strict_input", *_TABLE, *_FACTS),
            *("sent", "prefer", "borrow_budget", "certificate"),
        ),
        _LINES,
        has_stats=False,
        has_guard=False,
    ),
    "sentiment": JobCommand(
        ("timing", "keep_raw", "field", "lines", "split"),
        has_calendar=False,
        models=(*_HOST, "--sentiment-model", "--sentiment-gguf", "--baseline"),
    ),
    "check": JobCommand(
        ("fails", "proof", "as_of", "raw", *_TABLE, *_FACTS),
        resumes=False,
        has_stats=False,
        has_guard=False,
    ),
    "clock": JobCommand(
        ("as_of", "explain"),
        _LINES,
        resumes=False,
        has_stats=False,
        verb=("clock", "file"),
    ),
    "net": JobCommand(
        ("balances", "mode", "objective", "own", "from_fails"),
        resumes=False,
        has_stats=False,
        has_guard=False,
        has_calendar=False,
    ),
}


class ServerSettings(NamedTuple):
    """What the service was started with, for the command lines of its jobs."""

    kb_dir: Path | None
    """None: the rules that ship."""
    rules_folder: Path
    """The rules that the service was ever started with: `check` judges old lines by them."""
    calendar: Path | None
    guard: str
    backend: str
    """What answers fails: `engine`, or the name of a model backend."""
    sentiment_backend: str
    """What answers texts: `baseline`, or the name of a model backend."""
    models: tuple[tuple[str, str], ...] = ()
    """Options about models, each with its value."""
    ray: str | None = None
    """The address of the Ray cluster that a job may ask for; None without a cluster."""

    def refuse_executor(self, options: Mapping[str, Any]) -> None:
        """Raise ServiceError 422 for a job on a cluster that the service does not have."""
        if options.get("executor") == "ray" and self.ray is None:
            accepted = "local, because the service was started without --ray ADDRESS"
            raise wrong_value("executor", "ray", accepted)

    def backend_of(self, command: JobCommandName) -> str:
        """Return what answers the records of `command`."""
        if not COMMANDS[command].asks_backend:
            return "engine"
        return self.sentiment_backend if command == "sentiment" else self.backend


def read_job_options(command: JobCommandName, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a job. Raises ServiceError 422, which names the option."""
    accepted = COMMANDS[command].options
    for name, value in given.items():
        if name not in accepted:
            raise wrong_value(f"the option of {command}", name[:80], ", ".join(accepted))
        _check_value(name, OPTIONS[name], value)
    if command == "clock" and "as_of" not in given:
        raise wrong_value("as_of", "missing", "a day or a moment, such as 2026-11-27")
    return dict(given)


def describe_options() -> dict[str, Any]:
    """Return the JSON Schema of the options of all commands."""
    kinds: dict[OptionKind, dict[str, Any]] = {
        "moment": {"type": "string", "description": "A day or a moment, such as 2026-11-27T09:15."},
        "file": {"type": "string", "description": "The id of an uploaded file."},
        "amount": {"type": "string", "description": "Dollars, such as 0.50."},
        "switch": {"type": "boolean"},
        "flag": {"type": "boolean"},
        "made": {"type": "boolean", "description": "Make the file; the job has a route for it."},
        "word": {"type": "string"},
        "name": {"type": "string"},
        "party": {"type": "string"},
    }
    return {
        "type": "object",
        "description": "Options of the command; each command takes some of them.",
        "properties": {
            name: {**kinds[each.kind], **({"enum": list(each.words)} if each.words else {})}
            for name, each in OPTIONS.items()
        },
    }


def named_files(options: Mapping[str, Any]) -> list[str]:
    """Return the ids of the files that options name."""
    return [str(value) for name, value in options.items() if OPTIONS[name].kind == "file"]


def command_line(
    command: JobCommandName,
    options: Mapping[str, Any],
    settings: ServerSettings,
    *,
    source: Path,
    folder: Path,
    file_of: Callable[[str], Path],
    resumes: bool,
) -> list[str]:
    """Return the arguments of finops for a job whose output is in `folder`."""
    called = COMMANDS[command]
    line = ["--kb-store", str(settings.rules_folder)]
    line += [] if settings.kb_dir is None else ["--kb", str(settings.kb_dir)]
    line += [*(called.verb or (command,)), str(source), "-o", str(folder / "out.jsonl"), "-q"]
    line += called.fixed
    line.append("--resume" if called.resumes and resumes else "--overwrite")
    if called.has_stats:
        line += ["--stats-json", str(folder / "stats.json")]
    if called.has_guard:
        line += ["--guard", settings.guard]
    if called.has_calendar and settings.calendar is not None:
        line += ["--calendar", str(settings.calendar)]
    if called.asks_backend:
        backend = settings.backend_of(command)
        line += ["--backend", backend]
        for flag, value in settings.models if backend not in WITHOUT_MODELS else ():
            if flag in called.models:
                line += [flag, value]
    for name in called.options:
        option = OPTIONS[name]
        value = options.get(name, option.default)
        if value is not None and name != "executor":
            line += _arguments(option, value, file_of, folder)
    if options.get("executor") == "ray" and settings.ray is not None:
        line += ["--executor", "ray", "--ray", settings.ray]  # else this machine goes on with it
    return line


def _arguments(
    option: JobOption, value: Any, file_of: Callable[[str], Path], folder: Path
) -> list[str]:
    if option.kind == "switch":
        return [f"--{option.flag}" if value else f"--no-{option.flag}"]
    if option.kind == "flag":
        return [option.flag] if value else []
    if option.kind == "made":
        return [option.flag, str(folder / CERTIFICATE)] if value else []
    if option.kind == "file":
        return [option.flag, str(file_of(value))]
    return [option.flag, str(value)]


def _check_value(name: str, option: JobOption, value: Any) -> None:
    shown = str(value)[:80]
    if option.kind in ("switch", "flag", "made"):
        if not isinstance(value, bool):
            raise wrong_value(name, shown, "true or false")
        return
    if not isinstance(value, str):
        raise wrong_value(name, shown, "a text")
    if option.kind == "moment":
        _check_moment(name, value)
    elif option.kind == "word" and value not in option.words:
        raise wrong_value(name, shown, ", ".join(option.words))
    elif option.kind == "amount" and not _AMOUNT.fullmatch(value):
        raise wrong_value(name, shown, "dollars as a text, such as 2500000 or 0.50")
    elif option.kind == "name" and not (value.isidentifier() and len(value) <= _MOST_CHARACTERS):
        raise wrong_value(name, shown, "the name of a field, such as notes")
    elif option.kind == "party" and not _PARTY.fullmatch(value):
        raise wrong_value(name, shown, "the name of a party, such as DTC-0005 or US")


def _check_moment(name: str, value: str) -> None:
    try:
        parse_moment(value)
    except ValueError as error:
        accepted = "a day or a moment that exists, such as 2026-11-27 or 2026-11-27T09:15"
        raise wrong_value(name, value[:80], accepted) from error
