"""`finops net`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import Output, Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.net.legs import Balance, Leg, Net, Objective
    from finops_cli.net.legs import Mode as NetMode

_US = "US"
_MODES = ("whole", "partial")
_OBJECTIVES = ("value", "count")


def _check_mode(name: str) -> str:
    if name not in _MODES:
        raise BadChoice(name, _MODES)
    return name


def _check_objective(name: str | None) -> str | None:
    if name is not None and name not in _OBJECTIVES:
        raise BadChoice(name, _OBJECTIVES)
    return name


Legs = Annotated[
    str,
    typer.Argument(
        metavar="LEGS",
        help="The obligations, JSON Lines or CSV: id, from, to, asset, qty, and cash where it is"
        " paid for; - for stdin.",
    ),
]
Balances = Annotated[
    Path | None,
    typer.Option(
        "--balances",
        metavar="FILE",
        help="What the accounts hold: party, asset (a CUSIP or CASH) and qty. An account without a"
        " line holds 0. Whole shares and cents.",
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="MODE",
        callback=_check_mode,
        show_default=False,
        help="How a leg settles (default: whole).\n\n\b\n"
        "whole:   in full or not at all\n"
        "partial: in part too; for one security\n",
    ),
]
Objective_ = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        callback=_check_objective,
        help="What the set maximises (default: kb entry net.objective, value).\n\n\b\n"
        "value: cash of the legs, or shares without\n"
        "count: number of legs\n",
    ),
]
Own = Annotated[
    str | None,
    typer.Option(
        "--own",
        metavar="PARTY",
        help="The legs are those that this party knows: say what nets, and whom to ask for the"
        " rest. Never a deadlock (kb: net.own_view).",
    ),
]


FromFails = Annotated[
    bool,
    typer.Option(
        "--from-fails",
        help="LEGS has fail records: make the legs of our own view from them (kb: net.from_fails)."
        " --own is our name then (default: US).",
    ),
]
SaveLegs = Annotated[
    Path | None,
    typer.Option(
        "--save-legs",
        metavar="FILE",
        help="Write the legs of --from-fails to this file, for finops check --legs.",
    ),
]


@show_examples(
    Example("finops net examples/net/legs.jsonl --balances examples/net/balances.jsonl"),
    Example("finops net examples/net/own.jsonl --own DTC-0999 -o net.json"),
)
def net(
    context: typer.Context,
    source: Legs,
    balances: Balances = None,
    mode: Mode = "whole",
    objective: Objective_ = None,
    own: Own = None,
    from_fails: FromFails = False,
    save_legs: SaveLegs = None,
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find legs that settle together, or prove that none do."""
    from finops_cli.domain import exact_json
    from finops_cli.files.safe_io import writing_whole
    from finops_cli.kb.load import load_kb
    from finops_cli.net.solve import open_net, solve_net

    kb = load_kb(kb_dir_of(context))
    path, written = path_or_standard(source), path_or_standard(output)
    notes: list[str] = []
    if from_fails:
        own = own or _US
        legs = _make_legs(path, own, kb, notes)
    else:
        _refuse_saving(save_legs)
        legs = read_legs_of(path)
    held = read_balances_of(balances)
    _refuse_stranger(own, legs)
    chosen: NetMode = "partial" if mode == "partial" else "whole"
    opened = open_net(legs, held, chosen)
    if save_legs is not None:
        _save_legs(save_legs, legs, [path, balances, written], overwrite=overwrite)
    with writing_whole(written, [path, balances], overwrite) as file:
        solved = solve_net(opened, chosen, _objective_of(objective, kb), kb.net, own)
        file.write(exact_json.encode(solved.answer) + b"\n")
    if not quiet:
        from finops_cli.commands.net_summary import render_net

        notes += _note_cash(chosen, legs) + _note_unused(opened, held)
        typer.echo(render_net(solved, opened, notes), err=True)


def read_legs_of(source: Path | None) -> list[Leg]:
    """Read the legs. `source` None is stdin. Raises UsageError that lists every fault."""
    from finops_cli.importers.net_files import read_legs

    with _as_file(source) as path:
        return read_legs(path, None if path == source else _name_of(source))


def read_balances_of(path: Path | None) -> list[Balance]:
    """Read the balances; none without a file. Raises UsageError that lists every fault."""
    from finops_cli.importers.net_files import read_balances

    return [] if path is None else read_balances(path)


def _make_legs(source: Path | None, own: str, kb: KnowledgeBase, notes: list[str]) -> list[Leg]:
    """Make the legs of our own view. Fails that give none are counted in `notes`."""
    from finops_cli.importers.net_fails import read_own_legs
    from finops_cli.pipeline.inputs import InputPolicy

    with _as_file(source) as path:
        name = None if path == source else _name_of(source)
        legs, left_out = read_own_legs(path, name, own, InputPolicy(kb))
    if left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(left_out.items()))
        notes.append(f"Fails without a leg: {reasons}.")
    return legs


def _note_cash(mode: NetMode, legs: list[Leg]) -> list[str]:
    if mode == "partial" and any(leg.cash for leg in legs):
        return ["In the mode partial, cash does not limit the legs; nobody checked it is there."]
    return []


def _note_unused(net: Net, balances: list[Balance]) -> list[str]:
    """Name balances that no leg moves: a name that is written in two ways never nets."""
    unused = [each for each in balances if (each.party, each.asset) not in set(net.accounts)]
    if not unused:
        return []
    first = f"the {unused[0].asset} of {unused[0].party}"
    return [f"No leg moves {len(unused):,} of the {len(balances):,} balances, such as {first}."]


def _save_legs(path: Path, legs: list[Leg], others: list[Path | None], *, overwrite: bool) -> None:
    from finops_cli.domain import exact_json
    from finops_cli.files.safe_io import writing_whole

    with writing_whole(path, others, overwrite) as file:
        file.writelines(exact_json.encode(leg) + b"\n" for leg in legs)


def _refuse_saving(save_legs: Path | None) -> None:
    if save_legs is not None:
        raise UsageError(
            "--save-legs is given without --from-fails", "give --from-fails, or leave it out"
        )


def _name_of(source: Path | None) -> str:
    return "stdin" if source is None else str(source)


@contextmanager
def _as_file(source: Path | None) -> Iterator[Path]:
    """Return the path of a file; stdin and pipes are copied to one, because it is read twice."""
    from finops_cli.files.safe_io import reading

    if source is None and sys.stdin.isatty():
        raise UsageError(
            "the input is -, and nothing is piped in", "give a file, or pipe lines into finops"
        )
    if source is not None and (source.is_file() or not source.exists()):
        yield source
        return
    with TemporaryDirectory(prefix="finops-net-") as folder, reading(source) as given:
        copy = Path(folder) / "legs"
        with copy.open("wb") as file:
            shutil.copyfileobj(given, file)
        yield copy


def _refuse_stranger(own: str | None, legs: list[Leg]) -> None:
    if own is not None and not any(own in (leg.giver, leg.taker) for leg in legs):
        known = sorted({party for leg in legs for party in (leg.giver, leg.taker)})
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise UsageError(
            f"--own is {own}, which no leg names; the parties are {shown}", "give one of them"
        )


def _objective_of(given: str | None, kb: KnowledgeBase) -> Objective:
    return "count" if (given or kb.net.objective) == "count" else "value"
