"""The closing summary of a run, for a person: plain text, 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from textwrap import fill
from typing import get_args

from finops_cli.domain.enums import Action, Status, Tier
from finops_cli.monitoring.run_summary import RunSummary

_LABEL = 12


def summary(tally: RunSummary) -> str:
    """What came of the lines, most urgent first; rows with nothing to say are left out."""
    rows = [
        ("records", f"{tally.lines:,}"),
        ("status", _counts(tally.statuses, get_args(Status))),
        ("tier", _counts(tally.tiers, tuple(reversed(get_args(Tier))))),
        ("action", _counts(tally.actions, get_args(Action))),
        *((_MODEL_ROWS[stage], _right(tally, stage)) for stage in _MODEL_ROWS),
        ("violations", _counts(tally.violations, _most_first(tally.violations))),
        ("server", _counts(tally.server, _most_first(tally.server))),
        ("masked", _counts(tally.masked, _most_first(tally.masked))),
        ("rejected for", _counts(tally.problems, _most_first(tally.problems))),
    ]
    if tally.problems:
        rows.append(("", "every rejected line says why in .error.message"))
    if tally.plans:
        shares = (
            f"owed {tally.owed:,}  covered {tally.covered:,}  residual {tally.residual:,} "
            f" ({tally.plans:,} plans)"
        )
        rows.append(("shares", shares))
    if tally.residual:
        rows.append(("uncovered", _counts(tally.uncovered, (*reversed(get_args(Tier)), "unknown"))))
    return "\n".join(line for label, text in rows if text for line in _wrapped(label, text))


_MODEL_ROWS = {"triage": "triage model", "resolver": "resolver"}


def _right(tally: RunSummary, stage: str) -> str:
    """How often the model of `stage` was right."""
    asked, right, again = (tally.models[f"{stage} {what}"] for what in ("asked", "right", "again"))
    if not asked:
        return ""
    share = f"{right:,} of {asked:,} right as they came ({100 * right / asked:.1f} %)"
    return f"{share}  {again:,} when asked again" if again else share


def counts(label: str, counter: Counter[str]) -> str:
    """A row of its own: every name with its count, the commonest first."""
    return "\n".join(_wrapped(label, _counts(counter, _most_first(counter))))


def wrapped(label: str, text: str) -> str:
    """A sentence behind a label of the summary."""
    indent = " " * (_LABEL + 1)
    return fill(
        text,
        79,
        initial_indent=f"{label:<{_LABEL}} ",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _counts(counter: Counter[str], order: Iterable[str]) -> str:
    return "  ".join(f"{name} {counter[name]:,}" for name in order if counter[name])


def _most_first(counter: Counter[str]) -> list[str]:
    return sorted(counter, key=lambda name: (-counter[name], name))


def _wrapped(label: str, text: str) -> Iterable[str]:
    """`label` and the items of `text`, which two blanks part, in lines of at most 80 columns."""
    line = f"{label:<{_LABEL}} "
    for item in text.split("  "):
        if len(line) + len(item) > 79 and line.strip() != label:
            yield line.rstrip()
            line = " " * (_LABEL + 1)
        line += f"{item}  "
    yield line.rstrip()
