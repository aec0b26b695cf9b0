"""Run a recorded command again, and compare both outputs line by line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from finops_cli.audit.recorded import RecordedRun
from finops_cli.errors import UsageError
from finops_cli.pipeline.clock import read_local_moment
from finops_cli.pipeline.parse import decode
from finops_cli.pipeline.resume import Fingerprint, list_differences
from finops_cli.version import __version__

COMMANDS = ("run", "book", "triage", "resolve", "sentiment")
LEFT_OUT = frozenset(
    (
        "--output",
        "--overwrite",
        "--resume",
        "--stats-json",
        "--quiet",
        "--min-records",
        "--format",
        "--anonymous",
        "--certificate",
        "--save-map",
        "--hooks",
        "--drift-baseline",
        "--follow",
        "--kb",
        "--kb-digest",
        "--kb-store",
        "--executor",
        "--ray",
        "--keep-parts",
        "--gpus-per-model",
        "--version",
        "--install-completion",
        "--show-completion",
    )
)
"""Options that change no answer. Some of them write files or start programs, and the note may have
been changed since.
"""
_OF_MODELS = frozenset(
    (
        "--backend",
        "--host",
        "--model-api",
        "--api-key-file",
        "--triage-model",
        "--resolver-model",
        "--triage-gguf",
        "--resolver-gguf",
        "--triage-dir",
        "--resolver-dir",
        "--triage-adapter",
        "--resolver-adapter",
        "--load-in-4bit",
        "--on-violation",
        "--prose",
        "--timeout",
        "--keep-raw",
    )
)
ANSWERING = _OF_MODELS | frozenset(
    (
        "--workers",
        "--strict-input",
        "--timing",
        "--no-timing",
        "--guard",
        "--as-of",
        "--clock",
        "--calendar",
        "--map",
        "--accept",
        "--counterparty-history",
        "--inventory",
        "--inventory-as-of",
        "--allow-stale",
        "--receives",
        "--no-receives",
        "--sent",
        "--delta",
        "--borrow-budget",
        "--prefer",
        "--sentiment",
        "--sentiment-model",
        "--sentiment-gguf",
        "--sentiment-dir",
        "--sentiment-adapter",
        "--baseline",
        "--field",
        "--lines",
        "--split",
    )
)
"""Options that may change an answer."""
_FILES = ("-gguf", "-dir", "-adapter")
"""Ends of options whose value is a file or folder of a model."""
_NOW = "--as-of=now"
_TIMES = ("latency_ms", "generating_ms")
_TEXTS = ("reason", "narrative", "rationale", "escalation_reason")
"""Sentences, which a model may word otherwise."""


class Difference(Struct, frozen=True, kw_only=True):
    """A value of a line that is another one in the second output."""

    line: int
    fail_id: str | None
    field: str
    """Its keys, with dots."""
    before: Any
    after: Any


def list_arguments(run: RecordedRun, rules: Path, output: Path, by_engine: bool) -> list[str]:
    """List the arguments that run a recorded command again, with `rules`, into `output`.

    Options that write other files are left out, because the note may have been changed.
    `by_engine`: the engine answers in place of a model. Raises UsageError where the command or its
    files are not there any more.
    """
    given = list(run.first.arguments)
    place = next((at for at, each in enumerate(given) if not each.startswith("-")), None)
    strange = [each for each in given if each.startswith("-") and not each.startswith("--")]
    if place is None or given[place] not in COMMANDS or strange or not run.note.complete:
        raise UsageError(
            f"{run.output}: cannot be run again from its note",
            "only complete outputs of finops run, triage, resolve, book and sentiment can",
        )
    left_out = LEFT_OUT | (_OF_MODELS if by_engine else frozenset())
    kept = [each for each in given[place:] if each.partition("=")[0] not in left_out]
    _refuse_unknown(kept)
    moved = {each.recorded.path: _require(run, number) for number, each in enumerate(run.files)}
    kept = [_move(each, moved, run) for each in kept]
    engine = ["--backend=engine"] if by_engine else []
    written = [f"--output={output}", "--quiet"]
    return [f"--kb={rules}", kept[0], *engine, *written, *kept[1:]]


def _refuse_unknown(arguments: list[str]) -> None:
    """Raise UsageError for an option that this release does not know."""
    for each in arguments:
        option = each.partition("=")[0]
        if option.startswith("--") and option not in ANSWERING and option != "--":
            raise UsageError(
                f"the recorded command has {option}, which finops audit does not know",
                "run the command of the report by hand, and compare both outputs",
            )


def run_again(arguments: list[str], folder: Path) -> int:
    """Run finops in a process of its own, in `folder`; return its exit status."""
    command = [sys.executable, "-m", "finops_cli", *arguments]
    done = subprocess.run(  # noqa: S603 - this interpreter, and a command that was recorded
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode


def was_now(run: RecordedRun) -> bool:
    """Return true for a run whose moment came from the clock of its machine."""
    return _NOW in run.first.arguments


def describe_changes(run: RecordedRun, again: Fingerprint) -> list[str]:
    """List what the second run was made from otherwise, each with both values."""
    before = run.fingerprint
    if was_now(run) and before.clock is not None:  # the option has the moment of the first run
        before = replace(before, clock=before.clock.replace("(local_clock)", "(option)"))
    return list_differences(before, again)


def compare_outputs(
    run: RecordedRun, before: Iterable[bytes], after: Iterable[bytes]
) -> Iterator[Difference]:
    """Yield each value that differs, apart from times.

    The name of the rules has the release, and the moment of `--as-of now` is an option now.
    """
    left_out = [*_TIMES, *(["as_of_source"] if was_now(run) else [])]
    left_out += [] if run.fingerprint.finops == __version__ else ["kb"]
    for number, pair in enumerate(zip_longest(before, after), start=1):
        if pair[0] != pair[1]:
            old, new = (None if each is None else decode(each) for each in pair)
            yield from _compare(number, old, new, tuple(left_out))


def compare_answers(before: Iterable[bytes], after: Iterable[bytes]) -> Iterator[Difference]:
    """Yield each value of the answers that differs, apart from sentences."""
    for number, pair in enumerate(zip_longest(before, after), start=1):
        if pair[0] != pair[1]:
            old, new = (None if each is None else _answers_of(decode(each)) for each in pair)
            yield from _compare(number, old, new, _TEXTS)


def _answers_of(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {key: given.get(key) for key in ("fail_id", "triage", "resolution") if key in given}


def _compare(
    number: int, before: Any, after: Any, left_out: tuple[str, ...]
) -> Iterator[Difference]:
    name = before.get("fail_id") if isinstance(before, dict) else None
    for field, old, new in _walk("", before, after, left_out):
        yield Difference(line=number, fail_id=name, field=field, before=old, after=new)


def _walk(
    path: str, before: Any, after: Any, left_out: tuple[str, ...]
) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, list) and isinstance(after, list):
        before, after = dict(enumerate(before, 1)), dict(enumerate(after, 1))
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in left_out:
                place = f"{path}.{key}" if path else str(key)
                yield from _walk(place, before.get(key), after.get(key), left_out)
    elif before != after:
        yield path, before, after


def _require(run: RecordedRun, number: int) -> str:
    """Return where a file is now. Raises UsageError where it was changed or is gone."""
    found = run.files[number]
    if found.path is None or not found.is_unchanged:
        what = "was not found" if found.path is None else f"was changed: {found.path}"
        raise UsageError(
            f"{found.recorded.path} {what}",
            f"find the file with the SHA-256 {found.recorded.sha256}"
            + (", and name it with --fails FILE" if number == 0 else ""),
        )
    return str(found.path.resolve())


def _move(argument: str, moved: dict[str, str], run: RecordedRun) -> str:
    """Put the present place of a file, and the moment that `now` was, into an argument."""
    if argument == _NOW:
        moment = read_local_moment(run.fingerprint.clock)
        return argument if moment is None else f"--as-of={moment.moment.isoformat()}"
    if argument in moved:
        return moved[argument]
    if argument == "-" and moved:  # it came through a pipe, and was kept as the first file
        return next(iter(moved.values()))
    option, is_option, value = argument.partition("=")
    if not is_option or not option.startswith("--"):
        return argument
    if value in moved:
        return f"{option}={moved[value]}"
    if option.endswith(_FILES):
        found = next((each for each in run.locate(value) if each.exists()), None)
        return argument if found is None else f"{option}={found.resolve()}"
    return argument
