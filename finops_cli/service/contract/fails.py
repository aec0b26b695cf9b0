"""The routes of the queue and of decisions."""

from __future__ import annotations

from finops_cli.service.contract.rows import (
    COUNT,
    KEY,
    LINES,
    SWITCH,
    WORD,
    acts,
    id_of,
    parameter,
    shows,
)
from finops_cli.service.fails.query import LISTS
from finops_cli.service.store.fail_query import DECIDED, ORDERS

MEDIA_TYPES = (
    "text/csv",
    LINES,
    "text/html",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)
"""The formats of an export."""
_TEXT = {"type": "string", "maxLength": 200}
_DAYS = {"type": "integer", "minimum": -999_999, "maximum": 999_999}
_FILTERS = (
    *(
        parameter(
            name,
            f"The {name} of the fails; may be repeated.",
            {"type": "array", "items": {"type": "string", "enum": list(words)}, "minItems": 1},
        )
        for name, words in LISTS.items()
    ),
    parameter("cusip", "The beginning of the CUSIP.", _TEXT),
    parameter("counterparty", "The DTC participant.", _TEXT),
    parameter("within_days", "Settlement days to the deadline at most; 0: due.", _DAYS),
    parameter("residual", "Whether shares stay uncovered.", {"type": "boolean"}),
    parameter("q", "A part of the fail_id.", _TEXT),
    parameter("assignee", "Who takes the fails.", _TEXT),
    parameter("decided", "What was decided.", {"type": "string", "enum": list(DECIDED)}),
    parameter("job", "The id of a job (default: the newest with fails).", WORD),
    parameter("order", "The order.", {"type": "string", "enum": list(ORDERS)}),
)
FAIL_OPERATIONS = (
    shows(
        "/v1/export",
        "Export the fails of a filter with their decisions, as a file.",
        gives_media=" ".join(MEDIA_TYPES),
        parameters=(
            parameter(
                "format",
                "The form of the file.",
                {"type": "string", "enum": ["jsonl", "csv", "xlsx", "html"], "default": "csv"},
            ),
            *_FILTERS,
        ),
        errors=(404, 410, 422),
    ),
    shows(
        "/v1/fails",
        "Show a page of the queue.",
        gives="queue",
        parameters=(
            *_FILTERS,
            parameter("cursor", "The `next` of the page before.", WORD),
            parameter(
                "limit", "Rows of a page.", {"type": "integer", "minimum": 1, "maximum": 500}
            ),
            parameter("counts", "Count the fails by tier, category and status.", SWITCH),
        ),
        errors=(404, 410, 422),
    ),
    shows(
        "/v1/fails/{id}",
        "Show one fail with its line and its decisions.",
        gives="fail-detail",
        parameters=(id_of("fail, or its fail_id in the newest queue"),),
        errors=(404,),
    ),
    shows(
        "/v1/fails/{id}/history",
        "Show what was answered and decided about a fail.",
        gives="fail-history",
        parameters=(id_of("fail"),),
        errors=(404,),
    ),
    acts(
        "post",
        "/v1/fails/{id}/decisions",
        "Decide about a fail.",
        takes="decision-request",
        gives="decision",
        status=201,
        parameters=(id_of("fail"), KEY),
        errors=(400, 404, 409, 413, 415, 422),
    ),
    acts(
        "delete",
        "/v1/fails/{id}/decisions/{n}",
        "Delete a decision for good.",
        status=204,
        gives_media="none",
        parameters=(id_of("fail"), parameter("n", "The number of the decision.", COUNT, "path")),
        errors=(404,),
    ),
)
"""The routes of the queue and of decisions."""
