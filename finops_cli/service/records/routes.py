"""The routes that answer records: one object, a list, or a stream of JSON Lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from finops_cli.checking.other_rules import RuleSets
from finops_cli.checking.outputs import check_lines
from finops_cli.domain import exact_json, limits
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.files.jsonl import Batch
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.clock_lines import ClockLine
from finops_cli.pipeline.earlier_lines import EarlierLines
from finops_cli.pipeline.line_pipeline import LinePipeline
from finops_cli.pipeline.output import Line, encode
from finops_cli.pipeline.scheduler import compare_with_earlier
from finops_cli.pipeline.sentiment.output import SentimentLine
from finops_cli.service.doors.access_door import check_right, require_right
from finops_cli.service.doors.exchange import prepare_headers
from finops_cli.service.idempotency import HEADER, Idempotency, digest_body, read_key, respond
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.answering import (
    Answering,
    AnswerOptions,
    RecordCommand,
    batches_of,
)
from finops_cli.service.records.bodies import (
    JSON,
    JSON_LINES,
    media_type_of,
    read_body,
    refuse_media_type,
)
from finops_cli.service.records.query import (
    TIME_LIMIT,
    limit_time,
    missing_moment,
    read_options,
    read_text_options,
    read_time_limit,
)
from finops_cli.service.records.streams import JOBS, Streams
from finops_cli.service.requests import RequestHeaders, facts_in
from finops_cli.service.store.answers import KeptAnswer

T = TypeVar("T")
_AT_ONCE = 8
"""Answers of some hundred microseconds each."""
VERIFIED = "Finops-Verified"
"""The header that says whether every answer is verified, as exit status 0 of `finops run` does."""
_VERIFIED_NAME = VERIFIED.lower().encode()
_TIME_LIMIT_NAME = TIME_LIMIT.lower().encode()
_KEY_NAME = HEADER.lower().encode()
_CONTENT_TYPE = (b"content-type", JSON.encode())
prepare_headers([_CONTENT_TYPE, (_VERIFIED_NAME, b"true"), (_VERIFIED_NAME, b"false")])
_ACCEPTED = "application/json, or application/jsonl for a stream"
_LINES = b"application/jsonl, a line for each record"
_OBJECT = b"{"
_OK = HTTPStatus.OK.value
_NO_OPTIONS = AnswerOptions()
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


class _Answer(NamedTuple):
    """The answer to one record, or to a list of them."""

    body: bytes
    verified: bytes
    """The value of the header `Finops-Verified`."""

    async def send(self, send: Send) -> None:
        """Send it with status 200, without the steps of a Response: it is the same each time."""
        headers = [
            (_VERIFIED_NAME, self.verified),
            (b"content-length", b"%d" % len(self.body)),
            _CONTENT_TYPE,
        ]
        await send({"type": "http.response.start", "status": _OK, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class RecordEndpoint:
    """Answers `POST /v1/COMMAND`, as a plain ASGI application."""

    def __init__(
        self,
        command: RecordCommand,
        answering: Answering,
        streams: Streams,
        idempotency: Idempotency,
    ) -> None:
        self._idempotency = idempotency
        self._command = command
        self._answering = answering
        self._streams = streams
        self._settings: ServeSettings = streams.settings
        self._plain: LinePipeline | None = None
        """The pipeline without options, from the first request on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_in(scope)
        check_right(facts, "answer")
        headers = facts.headers
        has_key = _KEY_NAME in headers.raw
        if has_key:
            read_key(headers)  # a wrong one is refused, also where the rules need none
        options = self._read_options(scope["query_string"])
        media_type = JSON if _is_plain_json(headers) else media_type_of(headers)
        if media_type in JSON_LINES:
            pipeline = self._answering.pipeline(self._command, options)
            await self._streams.answer(pipeline, scope, receive, send, read_time_limit(headers))
            return
        if media_type != JSON:
            raise refuse_media_type(media_type, _ACCEPTED)
        seconds = read_time_limit(headers) if _TIME_LIMIT_NAME in headers.raw else None
        body = await read_body(receive, headers, self._settings.limits["array_bytes"], JOBS)
        if has_key and self._answering.backend.concurrency:
            async with limit_time(seconds):
                response = await self._answer_once(HTTPConnection(scope), body, options)
            await response(scope, receive, send)
            return
        pipeline = self._pipeline(options)
        if not pipeline.backend.concurrency and _is_record(body):
            answer = self._answer_by_rules(body, pipeline)
        elif seconds is None:
            answer = await self._answer(body, options)
        else:
            async with limit_time(seconds):
                answer = await self._answer(body, options)
        await answer.send(send)

    def _pipeline(self, options: AnswerOptions) -> LinePipeline:
        """Return the pipeline of the command; that without options needs no search for them."""
        if options is not _NO_OPTIONS:
            return self._answering.pipeline(self._command, options)
        if self._plain is None:
            self._plain = self._answering.pipeline(self._command, options)
        return self._plain

    def _read_options(self, query: bytes) -> AnswerOptions:
        """Read the parameters; most requests have none. Raises ServiceError 422."""
        if not query:
            return _NO_OPTIONS
        read = read_text_options if self._command == "sentiment" else read_options
        return read(QueryParams(query))

    async def _answer_once(
        self, request: HTTPConnection, body: bytes, options: AnswerOptions
    ) -> Response:
        """Answer a request with an Idempotency-Key: models are asked once, and answer once."""
        with self._idempotency.claim(request, digest_body(body)) as claim:
            if (kept := await self._idempotency.find(claim)) is not None:
                return respond(kept)
            made = await self._answer(body, options)
            verified = {VERIFIED: made.verified.decode()}
            answer = KeptAnswer(HTTPStatus.OK, verified, made.body)
            return respond(await self._idempotency.answer(claim, lambda _: answer))

    async def _answer(self, body: bytes, options: AnswerOptions) -> _Answer:
        pipeline = self._pipeline(options)
        if _is_record(body):
            return await self._answer_one(body, pipeline)
        records = split_list(body, self._settings)
        if records is None:
            return await self._answer_one(body, pipeline)
        lines: list[bytes] = []
        summary = RunSummary()
        size = self._answering.batch_size(pipeline)
        with EarlierLines() as earlier:
            async for result in self._answering.answer(pipeline, batches_of(records, size)):
                compare_with_earlier(result, pipeline, earlier)
                summary.add(result.summary)
                lines += result.lines
        text = b",".join(line[:-1] for line in lines)
        return self._respond(b"[" + text + b"]", lines, summary)

    async def _answer_one(self, body: bytes, pipeline: LinePipeline) -> _Answer:
        """Answer one record: nothing before it can have its name or its sources."""
        if not pipeline.backend.concurrency:
            return self._answer_by_rules(body, pipeline)
        result = await self._answering.answer_batch(pipeline, Batch(1, [body], 0))
        [line] = result.lines
        if "rejected" in result.summary.statuses:
            raise _unusable_in(body, pipeline.line_type.read(line))
        return self._respond(line, result.lines, result.summary)

    def _answer_by_rules(self, body: bytes, pipeline: LinePipeline) -> _Answer:
        """Answer one record without a model, and without the counts of a batch."""
        line = pipeline.process(1, body).line
        if line.status == "rejected":
            raise _unusable_in(body, line)
        text = encode(line)
        self._streams.metrics.record(self._command, line)
        self._streams.alarms.see([text])
        return _Answer(text, b"true" if line.status == "ok" else b"false")

    def _respond(self, body: bytes, lines: list[bytes], summary: RunSummary) -> _Answer:
        self._streams.metrics.records(self._command, summary)
        self._streams.alarms.see(lines)
        return _Answer(body, b"true" if summary.all_verified else b"false")


def _is_plain_json(headers: RequestHeaders) -> bool:
    """Return true for a body of JSON without parameters and not packed, as most requests have."""
    raw = headers.raw
    return raw.get(_CONTENT_TYPE[0]) == _CONTENT_TYPE[1] and b"content-encoding" not in raw


def _is_record(body: bytes) -> bool:
    """Return true for a body that can only be one record."""
    return body[:1] == _OBJECT and len(body) <= limits.LINE_BYTES


def split_list(body: bytes, settings: ServeSettings) -> list[bytes] | None:
    """Return the elements of a JSON array as they were written; None for another value.

    Raises ServiceError 400 for a text that is not JSON, 413 for too many elements or for an object
    above the limit of a line.
    """
    if body.lstrip()[:1] != b"[":
        refuse_text(body)
        if len(body) > limits.LINE_BYTES:
            raise _too_many(f"one record is longer than {limits.LINE_BYTES:,} bytes")
        return None
    try:
        records = [bytes(each) for each in _RAW.decode(body)]
    except UNREADABLE as error:
        raise not_json(str(error)) from error
    most = settings.limits["array_records"]
    if len(records) > most:
        raise _too_many(f"the list has {len(records):,} records; accepted: up to {most:,}")
    return records


def refuse_text(body: bytes) -> None:
    """Raise ServiceError 400 for a body that is not JSON."""
    try:
        exact_json.decode(body)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise not_json(str(error)) from error


def not_json(what: str) -> ServiceError:
    """Return the error for a body that is not JSON."""
    return ServiceError(
        HTTPStatus.BAD_REQUEST,
        "not-json",
        f"the body is not JSON: {what}; accepted: one object, or a list of objects",
    )


def _too_many(what: str) -> ServiceError:
    return ServiceError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"{what}; {JOBS}")


def _unusable_in(body: bytes, line: Line | SentimentLine) -> ServiceError:
    """Return the error for a body that holds one record. Raises ServiceError 400 for no JSON."""
    refuse_text(body)  # only now: the pipeline has read what it has not rejected
    return unusable(line)


def unusable(line: Line | SentimentLine | ClockLine) -> ServiceError:
    """Return the error for one record that cannot be used."""
    problems = [] if isinstance(line.error, msgspec.UnsetType) else line.error.problems
    return ServiceError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "record",
        "; ".join(problem.message for problem in problems),
        problems=problems,
    )


class CheckEndpoint:
    """Answers `POST /v1/check`: one answer, or a list of answers."""

    def __init__(self, rules: RuleSets, settings: ServeSettings) -> None:
        self._rules = rules
        self._settings = settings

    async def answer(self, request: Request) -> Response:
        require_right(request, "answer")
        given = await _read_json(request, self._settings)
        verdicts = await _collect(check_lines(given.lines, self._rules))
        return given.response(verdicts)


class ClockEndpoint:
    """Answers `POST /v1/clock`: one record, or a list of records."""

    def __init__(self, answering: Answering, settings: ServeSettings) -> None:
        self._answering = answering
        self._settings = settings

    async def answer(self, request: Request) -> Response:
        require_right(request, "answer")
        options = read_options(request.query_params)
        if options.as_of is None:
            raise missing_moment()
        given = await _read_json(request, self._settings)
        clock = self._answering.clock(options)
        lines = [each.line for each in await _collect(clock.compute(given.lines))]
        if not given.is_list and lines[0].status == "rejected":
            raise unusable(lines[0])
        return given.response(lines)


async def _collect(answers: Iterable[T]) -> list[T]:
    """Return all answers; the event loop turns between some of them."""
    collected: list[T] = []
    for answer in answers:
        collected.append(answer)
        if len(collected) % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return collected


class _Given(msgspec.Struct):
    """The records of a body, and whether it was a list."""

    lines: list[bytes]
    is_list: bool

    def response(self, answers: list[Any]) -> Response:
        body = exact_json.encode(answers if self.is_list else answers[0])
        return Response(body, media_type=JSON)


async def _read_json(request: Request, settings: ServeSettings) -> _Given:
    media_type = media_type_of(request.headers)
    if media_type != JSON:
        raise refuse_media_type(media_type, JSON)
    limit = settings.limits["array_bytes"]
    body = await read_body(request.receive, request.headers, limit, JOBS)
    records = split_list(body, settings)
    return _Given([body] if records is None else records, records is not None)
