"""The options of the alarms of a run: hooks, and the baseline of live drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.monitoring.events import Event
    from finops_cli.monitoring.hooks.alarms import RunAlarms
    from finops_cli.monitoring.hooks.hook_file import Hook
    from finops_cli.monitoring.live_drift import Baseline, DriftWatch
    from finops_cli.pipeline.run import RunConfig

Hooks = Annotated[
    Path | None,
    typer.Option(
        "--hooks",
        metavar="FILE",
        help="File (TOML) of commands and webhooks of this machine that get news of drift, lack of"
        " memory, latency and other events. With -o, OUT.hooks.jsonl keeps each message.",
    ),
]
DriftBaseline = Annotated[
    Path | None,
    typer.Option(
        "--drift-baseline",
        metavar="RUN",
        help="Earlier output of a run, or folder of an evaluation: an alarm is raised when the"
        " answers diverge from it (kb entry drift.threshold).",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOptions:
    """The receivers of an event, and the baseline of the answers."""

    hooks: Hooks = None
    drift_baseline: DriftBaseline = None

    @property
    def are_given(self) -> bool:
        """Return true where a run has alarms."""
        return self.hooks is not None or self.drift_baseline is not None


@contextmanager
def sound_alarms(
    options: AlarmOptions | None, config: RunConfig, kb: KnowledgeBase
) -> Iterator[RunConfig]:
    """Yield `config` for a run with its alarms; print on stderr what happened.

    Raises UsageError for a file of hooks or a baseline that cannot be used.
    """
    if options is None or not options.are_given:
        yield config
        return
    alarms = _open_alarms(options, config, kb)
    try:
        yield replace(config, on_lines=alarms.see)
        alarms.end()
    finally:
        for event in alarms.events:
            typer.echo(wrap_label("alarm", describe_event(event)), err=True)
        for sentence in alarms.close():
            typer.echo(wrap_label("hooks", sentence), err=True)


def send_events(events: Iterable[Event], hooks: Iterable[Hook], kb: KnowledgeBase) -> None:
    """Send events to hooks and wait for them; name on stderr what did not arrive."""
    from finops_cli.monitoring.hooks.alarms import Dispatch
    from finops_cli.monitoring.hooks.outbox import Outbox

    dispatch = Dispatch(hooks, Outbox(None, continues=False), kb.monitoring.hooks)
    for event in events:
        dispatch.send(event)
    for sentence in dispatch.drain():
        typer.echo(wrap_label("hooks", sentence), err=True)


def describe_event(event: Event) -> str:
    """Describe an event in one line."""
    facts = event.facts
    if event.event in ("drift", "drift_over"):
        word = "drift" if event.event == "drift" else "drift is over"
        return (
            f"{word}: {facts['dimension']} diverges by {facts['divergence']:.3f} nats (threshold"
            f" {facts['threshold']}) after {facts['after_answers']:,} answers; {facts['moved']}"
            f" {facts['from_pct']} % -> {facts['to_pct']} %"
        )
    shown = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{event.event.replace('_', ' ')}: {shown}"


def _open_alarms(options: AlarmOptions, config: RunConfig, kb: KnowledgeBase) -> RunAlarms:
    from finops_cli.monitoring.health_watch import HealthWatch
    from finops_cli.monitoring.hooks.alarms import Dispatch, RunAlarms
    from finops_cli.monitoring.hooks.outbox import Outbox, outbox_path
    from finops_cli.monitoring.latency_watch import LatencyWatch
    from finops_cli.monitoring.system_monitor import system_monitor

    output = config.output if config.made is None else config.made.target
    watch = None if options.drift_baseline is None else _open_watch(options.drift_baseline, kb)
    dispatch = None
    if options.hooks is not None:
        from finops_cli.monitoring.hooks.hook_file import read_hooks

        hooks = read_hooks(options.hooks)
        path = None if output is None else outbox_path(output)
        _refuse_outbox(path, config, options)
        dispatch = Dispatch(hooks, Outbox(path, continues=config.resume), kb.monitoring.hooks)
    monitor = system_monitor(kb)
    folder = None if output is None else diagnostics_of(output)
    latency = LatencyWatch(monitor, kb.monitoring.spike, folder)
    health = HealthWatch(monitor, kb.monitoring.health_alarm)
    return RunAlarms(monitor, dispatch, watch, latency, health)


def diagnostics_of(output: Path) -> Path:
    """Return the folder that takes the diagnostic bundles of a run."""
    return output.with_name(f"{output.name}.diagnostics")


def _refuse_outbox(path: Path | None, config: RunConfig, options: AlarmOptions) -> None:
    """Raise UsageError where the outbox would replace a file that the run reads."""
    from finops_cli.files.safe_io import refuse_unwritable
    from finops_cli.pipeline.run import read_files

    if path is not None:
        read = [*read_files(config), options.hooks, options.drift_baseline]
        refuse_unwritable(path, read, "--hooks")


def _open_watch(path: Path, kb: KnowledgeBase) -> DriftWatch:
    from finops_cli.monitoring.live_drift import DriftWatch

    return DriftWatch(read_drift_baseline(path), kb)


def read_drift_baseline(path: Path) -> Baseline:
    """Read the baseline of --drift-baseline. Raises UsageError for one without an answer."""
    baseline = _read_baseline(path)
    if not baseline.records:
        raise UsageError(
            f"--drift-baseline {path}: has no answered record", "give the output of a run"
        )
    return baseline


def _read_baseline(path: Path) -> Baseline:
    """Read the lines of a run, the answers of an evaluation, or a stored baseline."""

    from finops_cli.domain.decode_errors import describe_decode_error
    from finops_cli.domain.exact_json import UNREADABLE
    from finops_cli.evaluation.results_dir import ANSWERS, require_finished
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.files.safe_io import refuse_unreadable
    from finops_cli.monitoring.live_drift import baseline_of, decode_baseline

    answers = require_finished(path) / ANSWERS if path.is_dir() else path
    refuse_unreadable(answers)
    try:
        with reading_lines(answers) as file:
            lines = lines_of(file)
            first = next((line for line, _ in lines), b"")
            stored = decode_baseline(first)
            if stored is not None:
                return stored
            rest = (line for line, _ in lines)
            return baseline_of(line for line in _chain(first, rest) if line)
    except UNREADABLE as error:
        raise UsageError(
            f"--drift-baseline {answers}: has a line that is not an output line:"
            f" {describe_decode_error(error)}",
            "give the output of finops run or sentiment, or the folder of an evaluation",
        ) from error


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
