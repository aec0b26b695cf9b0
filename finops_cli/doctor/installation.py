"""Diagnose the installation: Python, the package, the knowledge base, the extras."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from finops_cli import extras
from finops_cli.errors import KnowledgeError
from finops_cli.kb.load import load_kb
from finops_cli.models.diagnosis import Diagnosis
from finops_cli.version import __version__

_OLDEST_PYTHON = (3, 11)
_NOT_FOR_USERS = ("dev", "checks", "docs", "browser", "contract")
"""Extras of those who test finops and write its pages."""


def diagnose_installation(kb_dir: Path) -> list[Diagnosis]:
    """Diagnose Python, the package, the knowledge base, and each extra of the package."""
    return [
        _diagnose_python(),
        Diagnosis("finops", "ok", f"{__version__} at {Path(__file__).parents[1]}"),
        _diagnose_kb(kb_dir),
        *_diagnose_extras(),
    ]


def _diagnose_python() -> Diagnosis:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _OLDEST_PYTHON:
        return Diagnosis("python", "ok", f"{version} at {sys.executable}")
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    return Diagnosis("python", "broken", version, f"install Python {oldest} or newer")


def _diagnose_kb(folder: Path) -> Diagnosis:
    try:
        kb = load_kb(folder)
    except KnowledgeError as error:
        return Diagnosis(
            "kb",
            "broken",
            str(error),
            "correct the file, or leave --kb out to use the one that ships",
        )
    return Diagnosis("kb", "ok", f"{kb.version}, {len(kb.entries)} entries at {folder}")


def _diagnose_extras() -> list[Diagnosis]:
    found = [_diagnose_extra(name) for name in extras.names() if name not in _NOT_FOR_USERS]
    return [*found, *([_diagnose_cp_sat()] if _installed("ortools") else [])]


def _diagnose_cp_sat() -> Diagnosis:
    """Solve a problem that some releases of CP-SAT get wrong."""
    from finops_cli.solvers.cp_sat import find_fault

    fault = find_fault()
    if fault is None:
        return Diagnosis("CP-SAT", "ok", "finds the optimum of a problem with large amounts")
    return Diagnosis("CP-SAT", "absent", fault, extras.cure("net"))


def _diagnose_extra(name: str) -> Diagnosis:
    packages = list(map(_package, extras.requirements(name)))
    missing = [package for package in packages if not _installed(package)]
    if missing:
        lacks = f"without {', '.join(missing)}"
        return Diagnosis(f"extra {name}", "absent", lacks, extras.cure(name))
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    return Diagnosis(f"extra {name}", "ok", versions)


def _package(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found.group() if found else requirement


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
