"""The rules engine as a backend: it answers without a model."""

from __future__ import annotations

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Origin
from finops_cli.rules.triage import triage_alike
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage


class Engine:
    """Backend that applies the rules.

    Its answers are checked for internal consistency only, because the engine is the only
    implementation at run time.
    """

    origin = Origin("engine", is_model=False)
    concurrency = 0
    must_alternate = False

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def prepare(self, stage: StageName) -> None:
        """Do nothing, because the engine has no model to load."""

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        shared = triage_alike(fail, self._kb)  # the check reads no reason
        findings = check_triage(shared.triage, self._kb)
        if findings:
            return Answer(None, "failed", findings)
        return Answer(shared.give_reason(fail))

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        answer = resolve(case, self._kb)
        findings = check_resolution(answer, self._kb, answer, case.ftd_qty)
        return Answer(None, "failed", findings) if findings else Answer(answer)

    def model_changes(self) -> tuple[str, ...]:
        """Return nothing: the rules of a knowledge base do not change during a run."""
        return ()

    def close(self) -> None:
        """Nothing is open."""
