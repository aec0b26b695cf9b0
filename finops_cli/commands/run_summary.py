"""The closing summary of a run, for a person: plain text, 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import get_args

from finops_cli.domain.enums import Action, Status, Tier
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.monitoring.run_summary import RunSummary

_LABEL = 12


def render_summary(run: RunSummary) -> str:
    """Write the counts of a run, most urgent first; empty rows are left out."""
    rows = [
        ("records", f"{run.lines:,}"),
        ("status", _format_counts(run.statuses, get_args(Status))),
        ("tier", _format_counts(run.tiers, tuple(reversed(get_args(Tier))))),
        ("action", _format_counts(run.actions, get_args(Action))),
        ("sentiment", _format_counts(run.labels, ("positive", "neutral", "negative"))),
        ("flags", _format_counts(run.flags, _most_first(run.flags))),
        *((_MODEL_LABELS.get(s, s), _format_first_answers(run, s)) for s in ANSWER_FIELDS),
        ("violations", _format_counts(run.violations, _most_first(run.violations))),
        ("server", _format_counts(run.server, _most_first(run.server))),
        ("masked", _format_counts(run.masked, _most_first(run.masked))),
        ("warnings", _format_counts(run.warnings, _most_first(run.warnings))),
        ("derived", _format_counts(run.derived, _most_first(run.derived))),
        ("assumed", _format_counts(run.assumed, _most_first(run.assumed))),
        ("dropped", _format_counts(run.dropped, _most_first(run.dropped))),
        ("rejected for", _format_counts(run.problems, _most_first(run.problems))),
    ]
    if run.problems:
        rows.append(("", "every rejected line says why in .error.message"))
    rows += _clock_rows(run)
    if run.plans:
        shares = (
            f"owed {run.owed:,}  covered {run.covered:,}  residual {run.residual:,} "
            f" ({run.plans:,} plans)"
        )
        rows.append(("shares", shares))
    if run.residual:
        rows.append(
            ("uncovered", _format_counts(run.uncovered, (*reversed(get_args(Tier)), "unknown")))
        )
    return "\n".join(line for label, text in rows if text for line in _wrap_items(label, text))


def describe_shared(run: RunSummary, path: Path | None) -> str:
    """Say how many fails share a source with earlier ones, and which command mends it."""
    fails, securities, shares = (run.shared[key] for key in ("fails", "securities", "shares"))
    uses = "fail uses" if fails == 1 else "fails use"
    of = "security" if securities == 1 else "securities"
    file = "FAILS" if path is None else path
    return (
        f"{fails:,} {uses} sources of {securities:,} {of} that earlier fails use too,"
        f" {shares:,} shares are promised twice; finops book {file}, with the same options,"
        " promises each once"
    )


_CLOCK_ORDER = (
    "breached shown",
    "breached if sold short",
    "due today",
    "running",
    "nothing due",
    "facts refused",
    "no as_of",
)


def _clock_rows(run: RunSummary) -> list[tuple[str, str]]:
    """Write what the law's clock says, and how much later the card's deadlines are.

    A file without any moment has no row: nobody asked for the clock.
    """
    if set(run.clock) <= {"no as_of"}:
        return []
    rows = [("law's clock", _format_counts(run.clock, _CLOCK_ORDER))]
    late = sorted(margin for margin, count in run.later.items() if margin > 0 < count)
    if run.later.total():
        count = sum(run.later[margin] for margin in late)
        text = f"later than the law in {count:,} of {run.later.total():,} records"
        if late:
            text += f", by {late[0]:,} to {late[-1]:,} days"
        rows.append(("card's T+N", text))
    if run.no_margin:
        counted = _format_counts(run.no_margin, _most_first(run.no_margin))
        rows.append(("card's T+N", f"not compared with the law: {counted}"))
    return rows


_MODEL_LABELS = {"triage": "triage model"}
"""Labels of the stages whose own name does not say that a model is meant."""


def _format_first_answers(run: RunSummary, stage: str) -> str:
    """How often the model of `stage` was right."""
    asked, right, again = (run.models[f"{stage} {what}"] for what in ("asked", "right", "again"))
    if not asked:
        return ""
    proportion = f"{right:,} of {asked:,} correct on the first answer ({100 * right / asked:.1f} %)"
    return f"{proportion}  {again:,} on the second" if again else proportion


def render_counts(label: str, counter: Counter[str]) -> str:
    """Write one row: every name with its count, the most frequent first."""
    return "\n".join(_wrap_items(label, _format_counts(counter, _most_first(counter))))


def wrap_label(label: str, text: str) -> str:
    """Write a sentence after a label of the summary."""
    indent = " " * (_LABEL + 1)
    return fill(
        text,
        79,
        initial_indent=f"{label:<{_LABEL}} ",
        subsequent_indent=indent,
        break_long_words=False,  # the name of a file stays whole
        break_on_hyphens=False,
    )


def _format_counts(counter: Counter[str], order: Iterable[str]) -> str:
    return "  ".join(f"{name} {counter[name]:,}" for name in order if counter[name])


def _most_first(counter: Counter[str]) -> list[str]:
    return sorted(counter, key=lambda name: (-counter[name], name))


def _wrap_items(label: str, text: str) -> Iterable[str]:
    """`label` and the items of `text`, which two blanks part, in lines of at most 80 columns."""
    line = f"{label:<{_LABEL}} "
    for item in text.split("  "):
        if len(line) + len(item) > 79 and line.strip() != label:
            yield line.rstrip()
            line = " " * (_LABEL + 1)
        line += f"{item}  "
    yield line.rstrip()
