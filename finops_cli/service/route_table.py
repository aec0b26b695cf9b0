"""The routes of the service, each with what answers it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from finops_cli.checking.other_rules import RuleSets
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.alarms.routes import DriftRoutes
from finops_cli.service.audit_log.routes import AuditLog
from finops_cli.service.auth.access import Access
from finops_cli.service.auth.tokens import Now
from finops_cli.service.batch.routes import JobRoutes
from finops_cli.service.batch.runner import JobRunner
from finops_cli.service.fails.exporting import Exports
from finops_cli.service.fails.routes import FailOptions, FailRoutes
from finops_cli.service.idempotency import Idempotency
from finops_cli.service.knowledge_routes import KnowledgeRoutes
from finops_cli.service.net_routes import NetEndpoint
from finops_cli.service.records.answering import Answering, RecordCommand
from finops_cli.service.records.book import BookEndpoint
from finops_cli.service.records.routes import CheckEndpoint, ClockEndpoint, RecordEndpoint
from finops_cli.service.records.streams import Streams
from finops_cli.service.routes import NamedRoute, shared_route
from finops_cli.service.store.database import Database
from finops_cli.service.system_routes import SystemRoutes
from finops_cli.service.uploads.mask_pool import MaskPool
from finops_cli.service.uploads.routes import FileRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the routes answer with."""

    answering: Answering
    rules: RuleSets
    """The rules of this start, and those of earlier ones, which judge the lines that they made."""
    streams: Streams
    system: SystemRoutes
    audit: AuditLog
    access: Access
    database: Database
    idempotency: Idempotency
    runner: JobRunner
    pool: MaskPool | None
    alarms: Alarms
    files: FileRoutes
    jobs: JobRoutes
    data: Path
    """The folder that replicas share."""
    own: Path
    """The folder of this service alone."""
    four_eyes: bool
    now: Now


def list_routes(parts: Parts) -> list[NamedRoute]:
    """Return every route of the API. The pages of the desk are a list of their own."""
    return [*_data_routes(parts), *_work_routes(parts), *_system_routes(parts)]


def _data_routes(parts: Parts) -> list[NamedRoute]:
    answering, settings = parts.answering, parts.answering.kb.serve
    return [
        *(
            NamedRoute(
                f"/v1/{command}",
                RecordEndpoint(command, answering, parts.streams, parts.idempotency),
                methods=["POST"],
            )
            for command in get_args(RecordCommand)
        ),
        NamedRoute("/v1/check", CheckEndpoint(parts.rules, settings).answer, methods=["POST"]),
        NamedRoute("/v1/clock", ClockEndpoint(answering, settings).answer, methods=["POST"]),
        NamedRoute("/v1/net", NetEndpoint(answering.kb).answer, methods=["POST"]),
        NamedRoute(
            "/v1/book",
            BookEndpoint(answering, parts.runner.settings, parts.own).answer,
            methods=["POST"],
        ),
    ]


def _work_routes(parts: Parts) -> list[NamedRoute]:
    settings = parts.answering.kb.serve
    files, jobs = parts.files, parts.jobs
    fails = FailRoutes(
        FailOptions(
            data=parts.data,
            rules=parts.rules,
            redaction=parts.answering.redaction,
            four_eyes=parts.four_eyes,
            now=parts.now,
        ),
        parts.database,
        parts.idempotency,
    )
    exports = Exports(
        parts.data, parts.answering.kb_dir, parts.database, settings, parts.now, parts.own
    )
    return [
        NamedRoute("/v1/export", exports.export),
        NamedRoute("/v1/fails", fails.fails),
        NamedRoute("/v1/fails/{id}", fails.fail),
        NamedRoute("/v1/fails/{id}/history", fails.history),
        NamedRoute("/v1/fails/{id}/decisions", fails.decide, methods=["POST"]),
        NamedRoute("/v1/fails/{id}/decisions/{n}", fails.delete, methods=["DELETE"]),
        shared_route("/v1/files", GET=files.files, POST=files.upload),
        shared_route("/v1/files/{id}", GET=files.file, DELETE=files.delete),
        shared_route("/v1/jobs", GET=jobs.jobs, POST=jobs.create),
        shared_route("/v1/jobs/{id}", GET=jobs.job, DELETE=jobs.delete),
        NamedRoute("/v1/jobs/{id}/output", jobs.output),
        NamedRoute("/v1/jobs/{id}/certificate", jobs.certificate),
        NamedRoute("/v1/jobs/{id}/cancel", jobs.cancel, methods=["POST"]),
        NamedRoute("/v1/jobs/{id}/resume", jobs.resume, methods=["POST"]),
    ]


def _system_routes(parts: Parts) -> list[NamedRoute]:
    knowledge, system, audit = KnowledgeRoutes(parts.answering.kb), parts.system, parts.audit
    drift = DriftRoutes(parts.alarms, parts.data, parts.database, parts.now)
    return [
        NamedRoute("/v1/drift", drift.drift),
        NamedRoute("/v1/drift/baseline", drift.set_baseline, methods=["PUT"]),
        NamedRoute("/v1/kb", knowledge.entries),
        NamedRoute("/v1/kb/{id}", knowledge.entry),
        NamedRoute("/v1/schemas/{name}", knowledge.schema),
        NamedRoute("/v1/models", system.models),
        NamedRoute("/v1/models/{name}/reload", system.reload, methods=["POST"]),
        NamedRoute("/v1/replicas", system.replicas),
        NamedRoute("/v1/audit", audit.entries),
        NamedRoute("/v1/audit/verify", audit.verification),
        NamedRoute("/metrics", system.metrics),
        NamedRoute("/openapi.json", system.openapi),
        NamedRoute("/healthz", system.health),
        NamedRoute("/readyz", system.ready),
    ]
