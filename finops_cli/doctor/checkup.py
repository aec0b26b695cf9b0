"""Check everything: the installation, the guard, and each backend of the table."""

from __future__ import annotations

from pathlib import Path

from finops_cli.doctor.guard_diagnosis import diagnose_guard
from finops_cli.doctor.installation import diagnose_installation
from finops_cli.doctor.live_record import try_live_record
from finops_cli.kb.load import load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import AUTO, BACKENDS
from finops_cli.models.diagnosis import Diagnosis


def diagnose(kb_dir: Path, request: BackendRequest, live: bool) -> list[Diagnosis]:
    """Diagnose the installation, then, if that works, the guard and the backends.

    `live`: load the models that are there and put one record through them. A request for one
    backend leaves the others out.
    """
    found = diagnose_installation(kb_dir)
    if is_broken(found):
        return found
    kb = load_kb(kb_dir)
    found.append(diagnose_guard(kb))
    for spec in BACKENDS.values():
        if spec.diagnose is not None and request.backend in (AUTO, spec.name):
            found += spec.diagnose(request, kb, try_live_record if live else None)
    return found


def is_broken(found: list[Diagnosis]) -> bool:
    """Return true if something that the user named does not work."""
    return any(diagnosis.state == "broken" for diagnosis in found)
