"""The optional parts of the distribution: what each one requires, and how to install it.

The distribution's name is never part of a cure: an index may have another package under a name
like ours, so a cure names the packages that are missing.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "finops-desk"
_WARNINGS = {
    "unsloth": "in an environment of its own: it brings other releases of torch, transformers and"
    " trl than training without it",
}
"""Extras that break another one when both are installed together."""
_PACKAGES = {
    "llama_cpp": "llama-cpp-python",
    "presidio_analyzer": "presidio-analyzer",
    "sklearn": "scikit-learn",
}
"""The packages whose name is not the name of their module."""


def names() -> list[str]:
    """The extras of the distribution, in the order of pyproject.toml."""
    return list(_all())


def requirements(extra: str) -> list[str]:
    """Requirements of an extra, such as `presidio-analyzer>=2.2.360`; empty if it is unknown."""
    return _all().get(extra, [])


def cure(*extras: str) -> str:
    """The command that installs extras into this environment, for a POSIX shell."""
    wanted = list(dict.fromkeys(one for extra in extras for one in requirements(extra)))
    if not wanted:
        return f"install the packages that pyproject.toml lists under {' and '.join(extras)}"
    command = _install(wanted)
    warnings = [_WARNINGS[extra] for extra in extras if extra in _WARNINGS]
    return f"{command} ({'; '.join(warnings)})" if warnings else command


def cure_of_module(module: str) -> str | None:
    """The command that installs the package of a module; None when no extra needs the package."""
    package = _PACKAGES.get(module, module)
    for extra in names():
        for requirement in requirements(extra) if extra != "dev" else []:
            if re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() == package.lower():
                return _install([requirement])
    return None


def _install(wanted: list[str]) -> str:
    python = shlex.quote(sys.executable or "python")
    command = " ".join((python, "-m pip install", *map(shlex.quote, wanted)))
    return f"{python} -m ensurepip && {command}" if find_spec("pip") is None else command


def _all() -> dict[str, list[str]]:
    from importlib import metadata

    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return _of_checkout()
    found: dict[str, list[str]] = {
        name: [] for name in distribution.metadata.get_all("Provides-Extra") or []
    }
    for line in distribution.requires or []:
        requirement, extra = _split(line)
        if extra in found:
            found[extra].append(requirement)
    return found


def _of_checkout() -> dict[str, list[str]]:
    """Read pyproject.toml, for a checkout that runs without being installed."""
    import tomllib

    try:
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
    except (OSError, ValueError, KeyError):
        return {}
    if project.get("name") != DISTRIBUTION:
        return {}
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return extras


_EXTRA = re.compile(r"""\(?\s*extra\s*==\s*(["'])([^"']+)\1\s*\)?""")


def _split(line: str) -> tuple[str, str]:
    """Split a `Requires-Dist` line into requirement and extra; other markers stay with the
    requirement.
    """
    requirement, _, marker = line.partition(";")
    clauses = [clause.strip() for clause in marker.split(" and ")]
    extra = next((found[2] for clause in clauses if (found := _EXTRA.fullmatch(clause))), "")
    others = [clause for clause in clauses if clause and not _EXTRA.fullmatch(clause)]
    if len(others) == 1 and re.fullmatch(r"\([^()]*\)", others[0]):
        others = [others[0][1:-1]]  # hatchling adds the parentheses with the extra
    return "; ".join(filter(None, (requirement.strip(), " and ".join(others)))), extra
