"""The table of routes for the OpenAPI document: what each takes and answers."""

from __future__ import annotations

from finops_cli.service.contract.fails import FAIL_OPERATIONS
from finops_cli.service.contract.rows import (
    COUNT,
    KEY,
    LINES,
    SWITCH,
    WORD,
    Operation,
    acts,
    id_of,
    parameter,
    shows,
)

_JOB = {"type": "string", "pattern": "^job-[1-9][0-9]{0,8}$"}
_OPTIONS = (
    parameter(
        "as_of",
        "Day or moment of the clock, in Eastern Time or with an offset.",
        {"type": "string", "examples": ["2026-11-27", "2026-11-27T09:15"]},
    ),
    parameter(
        "clock",
        "Deadline that the plan works against.",
        {"type": "string", "enum": ["card", "regulation"], "default": "card"},
    ),
    parameter("timing", "Show the latency of each answer.", SWITCH),
    parameter("keep_raw", "Show the texts of the models for accepted answers too.", SWITCH),
    parameter("strict_input", "Reject a record whose facts contradict each other.", SWITCH),
)
_TEXT_OPTIONS = (
    *(each for each in _OPTIONS if each["name"] in ("timing", "keep_raw")),
    parameter(
        "split",
        "Parts that are labelled on their own.",
        {"type": "string", "enum": ["none", "sentences"], "default": "none"},
    ),
    parameter("field", "The field that holds the text.", {**WORD, "pattern": "^[a-z_]+$"}),
)
_BODY = (400, 409, 413, 415, 422)


_SECONDS = {"type": "number", "minimum": 1, "maximum": 86_400, "multipleOf": 0.001}
_LIMIT = parameter(
    "Finops-Deadline", "Seconds for the answer: it can only shorten its time.", _SECONDS, "header"
)


def _answers(path: str, summary: str, takes: str) -> Operation:
    """Describe a route that answers records with lines of a run."""
    return Operation(
        method="post",
        path=path,
        summary=summary,
        takes=takes,
        gives="run",
        streams=True,
        parameters=(*_OPTIONS, KEY, _LIMIT),
        errors=(*_BODY, 504),
    )


OPERATIONS = (
    _answers("/v1/run", "Triage and plan records, every answer checked.", "fail"),
    _answers("/v1/triage", "Triage records.", "fail"),
    _answers("/v1/resolve", "Plan the resolution of cases.", "resolver-input"),
    Operation(
        method="post",
        path="/v1/sentiment",
        summary="Label the tone of texts.",
        takes="text",
        gives="sentiment",
        streams=True,
        parameters=(*_TEXT_OPTIONS, _LIMIT),
        errors=(*_BODY, 504),
    ),
    Operation(
        method="post",
        path="/v1/check",
        summary="Check answers against the rules.",
        takes="anything",
        gives="verdict",
        errors=(400, 413, 415),
    ),
    Operation(
        method="post",
        path="/v1/clock",
        summary="Compute the dates of the law.",
        takes="fail",
        gives="clock",
        parameters=_OPTIONS,
        errors=_BODY,
    ),
    acts(
        "post",
        "/v1/net",
        "Find legs that settle together, or prove that none do.",
        takes="net-request",
        gives="net",
        errors=(400, 413, 415, 422, 501),
    ),
    acts(
        "post",
        "/v1/book",
        "Plan all fails at once: each share is promised once.",
        takes="book-request",
        gives="run",
        gives_list=True,
        errors=(400, 413, 415, 422, 501),
    ),
    shows(
        "/v1/kb",
        "List or search the rules.",
        parameters=(parameter("q", "Words to look for.", WORD),),
        errors=(422,),
    ),
    shows(
        "/v1/kb/{id}", "Show one rule with its source.", parameters=(id_of("rule"),), errors=(404,)
    ),
    shows(
        "/v1/schemas/{name}",
        "Show one JSON Schema.",
        parameters=(parameter("name", "The name of the schema.", WORD, "path"),),
        errors=(404,),
    ),
    shows("/v1/models", "Show what answers."),
    acts(
        "post",
        "/v1/models/{name}/reload",
        "Free the memory of a model, and load it again.",
        parameters=(parameter("name", "The model, or its stage.", WORD, "path"),),
        errors=(404, 409),
    ),
    shows(
        "/v1/replicas",
        "Show the services that use the database.",
        gives="replica",
        shape="list",
    ),
    shows("/v1/drift", "Show the last answers beside the baseline.", gives="drift"),
    acts(
        "put",
        "/v1/drift/baseline",
        "Take the answers of a job as the baseline.",
        takes="baseline-request",
        gives="drift",
        errors=(400, 404, 409, 410, 413, 415, 422),
    ),
    shows(
        "/v1/audit",
        "Show the audit log.",
        gives="audit-entry",
        shape="list",
        parameters=(
            parameter("after", "The number of an entry: show those after it.", COUNT),
            parameter("limit", "How many entries to show, up to 1,000.", COUNT),
        ),
        errors=(422,),
    ),
    shows("/v1/audit/verify", "Check the chain of the audit log."),
    shows("/metrics", "Show the figures of the service."),
    shows("/healthz", "Show that the service runs.", is_open=True),
    shows("/readyz", "Show whether the service is ready.", is_open=True, errors=(503,)),
    shows("/openapi.json", "Show this document."),
)
"""The routes of records, of the rules and of the system."""

WORK_OPERATIONS = (
    acts(
        "post",
        "/v1/files",
        "Store a file; personal data in it is masked.",
        takes_file=True,
        gives="file",
        status=201,
        parameters=(parameter("name", "A name for people.", WORD), KEY),
        errors=(409, 413, 415, 422, 501, 507),
    ),
    shows("/v1/files", "List the files.", gives="file", shape="list"),
    shows(
        "/v1/files/{id}",
        "Show the facts of a file.",
        gives="file",
        parameters=(id_of("file"),),
        errors=(404, 410),
    ),
    acts(
        "delete",
        "/v1/files/{id}",
        "Delete a file.",
        status=204,
        gives_media="none",
        parameters=(id_of("file"),),
        errors=(404, 409, 410),
    ),
    acts(
        "post",
        "/v1/jobs",
        "Begin a job on a file.",
        takes="job-request",
        gives="job",
        status=202,
        parameters=(KEY,),
        errors=(400, 404, 409, 410, 413, 415, 422),
    ),
    shows(
        "/v1/jobs",
        "List the jobs, the newest first.",
        gives="job",
        shape="list",
        parameters=(parameter("before", "The id of a job: show those before it.", _JOB),),
        errors=(422,),
    ),
    shows(
        "/v1/jobs/{id}",
        "Show a job.",
        gives="job",
        parameters=(
            id_of("job"),
            parameter("wait", "Seconds to wait for its end.", {**COUNT, "maximum": 30}),
        ),
        errors=(404, 410, 422),
    ),
    acts(
        "delete",
        "/v1/jobs/{id}",
        "Delete the output of a job.",
        status=204,
        gives_media="none",
        parameters=(id_of("job"),),
        errors=(404, 409, 410),
    ),
    *(
        shows(
            f"/v1/jobs/{{id}}/{file}",
            summary,
            gives_media=LINES,
            parameters=(id_of("job"),),
            errors=(404, 409, 410, 412, 416),
        )
        for file, summary in (
            ("output", "Read the output of a job, also while it grows."),
            ("certificate", "Read the certificate of a book."),
        )
    ),
    *(
        acts(
            "post",
            f"/v1/jobs/{{id}}/{verb}",
            summary,
            gives="job",
            parameters=(id_of("job"),),
            errors=(404, 409, 410),
        )
        for verb, summary in (
            ("cancel", "Stop a job; what it has written stays."),
            ("resume", "Go on with a job that failed or was cancelled."),
        )
    ),
)
"""The routes of files and jobs."""
ALL_OPERATIONS = (*OPERATIONS, *WORK_OPERATIONS, *FAIL_OPERATIONS)
"""Every route below `/v1`, and those of the system."""
