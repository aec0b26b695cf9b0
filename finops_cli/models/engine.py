"""The reference: the rules themselves, answering as a model would."""

from __future__ import annotations

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, ModelStage, Origin
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage


class Engine:
    """Needs nothing but the package.

    Its answers are held against themselves: there is no second reckoning to hold them against.
    """

    origin = Origin("engine", is_model=False)
    concurrency = 0
    must_alternate = False

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def prepare(self, stage: ModelStage) -> None:
        """Nothing to load."""

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        answer = triage(fail, self._kb)
        findings = check_triage(answer, self._kb, answer)
        return Answer(None, "failed", findings) if findings else Answer(answer)

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        answer = resolve(case, self._kb)
        findings = check_resolution(answer, self._kb, answer, case.ftd_qty)
        return Answer(None, "failed", findings) if findings else Answer(answer)

    def model_changes(self) -> tuple[str, ...]:
        """The rules of a book do not change."""
        return ()

    def close(self) -> None:
        """Nothing is open."""
