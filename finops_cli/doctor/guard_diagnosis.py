"""Diagnose the guard: does it mask personal data?"""

from __future__ import annotations

from finops_cli import extras
from finops_cli.errors import FinopsError
from finops_cli.guard.detector import installed, open_guard
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.diagnosis import Diagnosis, diagnose_error

_PLANTED = "SSN 123-45-6789, 5,000 shares of 594918104"
_MASKED = "SSN [SSN], 5,000 shares of 594918104"


def diagnose_guard(kb: KnowledgeBase) -> Diagnosis:
    """Mask a planted text and compare."""
    if not installed():
        detail = (
            "free text cannot be scanned before a model reads it; records that have some stop a"
            " run with models"
        )
        return Diagnosis("guard", "absent", detail, extras.cure("guard"))
    try:
        masked = open_guard(kb.guard).mask(_PLANTED).text
    except FinopsError as error:
        return diagnose_error("guard", error, "broken")
    if masked != _MASKED:
        detail, cure = f"{_PLANTED!r} is masked as {masked!r}", "correct guard.* of your --kb"
        return Diagnosis("guard", "broken", detail, cure)
    return Diagnosis("guard", "ok", "personal data in free text is masked before a model sees it")
