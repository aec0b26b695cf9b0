"""The table of routes for the OpenAPI document: what each takes and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from finops_cli.service.fails.query import LISTS
from finops_cli.service.store.fail_query import DECIDED, ORDERS

LINES = "application/jsonl"
MEDIA_TYPES = (
    "text/csv",
    LINES,
    "text/html",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)
"""What an export can be."""
Shape = Literal["object", "list", "one or many"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table: a route, what it takes, and what it answers."""

    method: str
    path: str
    summary: str
    takes: str | None = None
    """The schema of a record in the body; None: no body."""
    gives: str | None = None
    """The schema of an answer; None: any object."""
    streams: bool = False
    """The route takes JSON Lines too."""
    shape: Shape = "one or many"
    """What a body and an answer are: an object, a list, or either."""
    status: int = 200
    takes_file: bool = False
    """The body is a file."""
    gives_media: str | None = None
    """The media types of an answer that is not JSON; `none` for an answer without a body."""
    parameters: tuple[dict[str, Any], ...] = ()
    errors: tuple[int, ...] = ()
    """Errors beside 401, 403, 421, 429 and 503, which every route may have."""
    is_open: bool = False
    """The route needs no token."""

    @property
    def has_body(self) -> bool:
        """Return true if the route takes JSON."""
        is_written = self.method in ("post", "put")
        return is_written and (self.takes is not None or self.shape == "one or many")


def _parameter(
    name: str, text: str, schema: dict[str, Any], place: str = "query"
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "description": text,
        "schema": schema,
        "required": place == "path",
    }


_SWITCH = {"type": "boolean", "default": False}
_WORD = {"type": "string"}
_TEXT = {"type": "string", "maxLength": 200}
_DAYS = {"type": "integer", "minimum": -999_999, "maximum": 999_999}
_JOB = {"type": "string", "pattern": "^job-[1-9][0-9]{0,8}$"}
_COUNT = {"type": "integer", "minimum": 0}
_OPTIONS = (
    _parameter(
        "as_of",
        "Day or moment of the clock, in Eastern Time or with an offset.",
        {"type": "string", "examples": ["2026-11-27", "2026-11-27T09:15"]},
    ),
    _parameter(
        "clock",
        "Deadline that the plan works against.",
        {"type": "string", "enum": ["card", "regulation"], "default": "card"},
    ),
    _parameter("timing", "Show the latency of each answer.", _SWITCH),
    _parameter("keep_raw", "Show the texts of the models for accepted answers too.", _SWITCH),
    _parameter("strict_input", "Reject a record whose facts contradict each other.", _SWITCH),
)
_TEXT_OPTIONS = (
    *(each for each in _OPTIONS if each["name"] in ("timing", "keep_raw")),
    _parameter(
        "split",
        "Parts that are labelled on their own.",
        {"type": "string", "enum": ["none", "sentences"], "default": "none"},
    ),
    _parameter("field", "The field that holds the text.", {**_WORD, "pattern": "^[a-z_]+$"}),
)
_BODY = (400, 409, 413, 415, 422)


def _answers(path: str, summary: str, takes: str) -> Operation:
    """Describe a route that answers records with lines of a run."""
    return Operation(
        method="post",
        path=path,
        summary=summary,
        takes=takes,
        gives="run",
        streams=True,
        parameters=(*_OPTIONS, _KEY, _LIMIT),
        errors=(*_BODY, 504),
    )


def _shows(path: str, summary: str, **more: Any) -> Operation:
    """Describe a route that shows something."""
    return Operation(method="get", path=path, summary=summary, **{"shape": "object", **more})


def _acts(method: str, path: str, summary: str, **more: Any) -> Operation:
    """Describe a route that does something."""
    return Operation(method=method, path=path, summary=summary, **{"shape": "object", **more})


def _id(of: str) -> dict[str, Any]:
    return _parameter("id", f"The id of the {of}.", _WORD, "path")


_KEY = _parameter(
    "Idempotency-Key",
    "Makes a request that is sent again be done once.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "header",
)
_SECONDS = {"type": "number", "minimum": 1, "maximum": 86_400, "multipleOf": 0.001}
_LIMIT = _parameter(
    "Finops-Deadline", "Seconds for the answer: it can only shorten its time.", _SECONDS, "header"
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
    _acts(
        "post",
        "/v1/net",
        "Find legs that settle together, or prove that none do.",
        takes="net-request",
        gives="net",
        errors=(400, 413, 415, 422, 501),
    ),
    _shows(
        "/v1/kb",
        "List or search the rules.",
        parameters=(_parameter("q", "Words to look for.", _WORD),),
        errors=(422,),
    ),
    _shows(
        "/v1/kb/{id}", "Show one rule with its source.", parameters=(_id("rule"),), errors=(404,)
    ),
    _shows(
        "/v1/schemas/{name}",
        "Show one JSON Schema.",
        parameters=(_parameter("name", "The name of the schema.", _WORD, "path"),),
        errors=(404,),
    ),
    _shows("/v1/models", "Show what answers."),
    _acts(
        "post",
        "/v1/models/{name}/reload",
        "Free the memory of a model, and load it again.",
        parameters=(_parameter("name", "The model, or its stage.", _WORD, "path"),),
        errors=(404, 409),
    ),
    _shows("/v1/drift", "Show the last answers beside the baseline.", gives="drift"),
    _acts(
        "put",
        "/v1/drift/baseline",
        "Take the answers of a job as the baseline.",
        takes="baseline-request",
        gives="drift",
        errors=(400, 404, 409, 410, 413, 415, 422),
    ),
    _shows(
        "/v1/audit",
        "Show the audit log.",
        gives="audit-entry",
        shape="list",
        parameters=(
            _parameter("after", "The number of an entry: show those after it.", _COUNT),
            _parameter("limit", "How many entries to show, up to 1,000.", _COUNT),
        ),
        errors=(422,),
    ),
    _shows("/v1/audit/verify", "Check the chain of the audit log."),
    _shows("/metrics", "Show the figures of the service."),
    _shows("/healthz", "Show that the service runs.", is_open=True),
    _shows("/readyz", "Show whether the service is ready.", is_open=True, errors=(503,)),
    _shows("/openapi.json", "Show this document."),
)
"""The routes of records, of the rules and of the system."""

WORK_OPERATIONS = (
    _acts(
        "post",
        "/v1/files",
        "Store a file; personal data in it is masked.",
        takes_file=True,
        gives="file",
        status=201,
        parameters=(_parameter("name", "A name for people.", _WORD), _KEY),
        errors=(409, 413, 415, 422, 507),
    ),
    _shows("/v1/files", "List the files.", gives="file", shape="list"),
    _shows(
        "/v1/files/{id}",
        "Show the facts of a file.",
        gives="file",
        parameters=(_id("file"),),
        errors=(404, 410),
    ),
    _acts(
        "delete",
        "/v1/files/{id}",
        "Delete a file.",
        status=204,
        gives_media="none",
        parameters=(_id("file"),),
        errors=(404, 409, 410),
    ),
    _acts(
        "post",
        "/v1/jobs",
        "Begin a job on a file.",
        takes="job-request",
        gives="job",
        status=202,
        parameters=(_KEY,),
        errors=(400, 404, 409, 410, 413, 415, 422),
    ),
    _shows(
        "/v1/jobs",
        "List the jobs, the newest first.",
        gives="job",
        shape="list",
        parameters=(_parameter("before", "The id of a job: show those before it.", _JOB),),
        errors=(422,),
    ),
    _shows(
        "/v1/jobs/{id}",
        "Show a job.",
        gives="job",
        parameters=(
            _id("job"),
            _parameter("wait", "Seconds to wait for its end.", {**_COUNT, "maximum": 30}),
        ),
        errors=(404, 410, 422),
    ),
    _acts(
        "delete",
        "/v1/jobs/{id}",
        "Delete the output of a job.",
        status=204,
        gives_media="none",
        parameters=(_id("job"),),
        errors=(404, 409, 410),
    ),
    _shows(
        "/v1/jobs/{id}/output",
        "Read the output of a job, also while it grows.",
        gives_media=LINES,
        parameters=(_id("job"),),
        errors=(404, 409, 410, 416),
    ),
    *(
        _acts(
            "post",
            f"/v1/jobs/{{id}}/{verb}",
            summary,
            gives="job",
            parameters=(_id("job"),),
            errors=(404, 409, 410),
        )
        for verb, summary in (
            ("cancel", "Stop a job; what it has written stays."),
            ("resume", "Go on with a job that failed or was cancelled."),
        )
    ),
)
"""The routes of files and jobs."""
_FILTERS = (
    *(
        _parameter(
            name,
            f"The {name} of the fails; may be repeated.",
            {"type": "array", "items": {"type": "string", "enum": list(words)}, "minItems": 1},
        )
        for name, words in LISTS.items()
    ),
    _parameter("cusip", "The beginning of the CUSIP.", _TEXT),
    _parameter("counterparty", "The DTC participant.", _TEXT),
    _parameter("within_days", "Settlement days to the deadline at most; 0: due.", _DAYS),
    _parameter("residual", "Whether shares stay uncovered.", {"type": "boolean"}),
    _parameter("q", "A part of the fail_id.", _TEXT),
    _parameter("assignee", "Who takes the fails.", _TEXT),
    _parameter("decided", "What was decided.", {"type": "string", "enum": list(DECIDED)}),
    _parameter("job", "The id of a job (default: the newest with fails).", _WORD),
    _parameter("order", "The order.", {"type": "string", "enum": list(ORDERS)}),
)
FAIL_OPERATIONS = (
    _shows(
        "/v1/export",
        "Export the fails of a filter with their decisions, as a file.",
        gives_media=" ".join(MEDIA_TYPES),
        parameters=(
            _parameter(
                "format",
                "The form of the file.",
                {"type": "string", "enum": ["jsonl", "csv", "xlsx", "html"], "default": "csv"},
            ),
            *_FILTERS,
        ),
        errors=(404, 410, 422),
    ),
    _shows(
        "/v1/fails",
        "Show a page of the queue.",
        gives="queue",
        parameters=(
            *_FILTERS,
            _parameter("cursor", "The `next` of the page before.", _WORD),
            _parameter(
                "limit", "Rows of a page.", {"type": "integer", "minimum": 1, "maximum": 500}
            ),
            _parameter("counts", "Count the fails by tier, category and status.", _SWITCH),
        ),
        errors=(404, 410, 422),
    ),
    _shows(
        "/v1/fails/{id}",
        "Show one fail with its line and its decisions.",
        gives="fail-detail",
        parameters=(_id("fail, or its fail_id in the newest queue"),),
        errors=(404,),
    ),
    _shows(
        "/v1/fails/{id}/history",
        "Show what was answered and decided about a fail.",
        gives="fail-history",
        parameters=(_id("fail"),),
        errors=(404,),
    ),
    _acts(
        "post",
        "/v1/fails/{id}/decisions",
        "Decide about a fail.",
        takes="decision-request",
        gives="decision",
        status=201,
        parameters=(_id("fail"), _KEY),
        errors=(400, 404, 409, 413, 415, 422),
    ),
    _acts(
        "delete",
        "/v1/fails/{id}/decisions/{n}",
        "Delete a decision for good.",
        status=204,
        gives_media="none",
        parameters=(_id("fail"), _parameter("n", "The number of the decision.", _COUNT, "path")),
        errors=(404,),
    ),
)
"""The routes of the queue and of decisions."""
ALL_OPERATIONS = (*OPERATIONS, *WORK_OPERATIONS, *FAIL_OPERATIONS)
"""Every route below `/v1`, and those of the system."""
