"""JSON Lines in, JSON Lines out, both at once.

One task owns `receive` and another owns `send`, with a spool between them. A client that sends
everything before it reads would otherwise wait for a service that waits for it. Starlette's own
StreamingResponse must not be used here: it calls `receive` to notice a disconnect, and so takes
parts of the body away from the reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from finops_cli.domain import limits
from finops_cli.files.jsonl import Batch
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.pipeline.earlier_lines import EarlierLines
from finops_cli.pipeline.line_pipeline import LinePipeline
from finops_cli.pipeline.scheduler import compare_with_earlier
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.metrics import Metrics
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.answering import Answering
from finops_cli.service.records.bodies import refuse_announced, too_large
from finops_cli.service.records.query import limit_time
from finops_cli.service.records.spool import Spool, SpoolBudget

JOBS = "send a longer file to POST /v1/files, and start a job"
_KEPT_BYTES = limits.LINE_BYTES + 8
"""The part of a line that is kept: enough to find that it is over the limit."""


class Stalled(Exception):
    """The reader of a stream takes nothing."""


@dataclass(slots=True, kw_only=True)
class Streams:
    """The streams of the service."""

    answering: Answering
    settings: ServeSettings
    metrics: Metrics
    alarms: Alarms
    folder: Path
    """The folder of the spools."""
    budget: SpoolBudget
    running: int = 0

    async def answer(
        self,
        pipeline: LinePipeline,
        scope: Scope,
        receive: Receive,
        send: Send,
        seconds: float | None = None,
    ) -> None:
        """Answer the lines of a request as they come. Raises ServiceError before the answer.

        After `seconds` the stream ends behind a whole line: the client goes on after the count.
        """
        limit = self.settings.limits["stream_bytes"]
        refuse_announced(Headers(scope=scope), limit, JOBS)
        if self.running >= self.settings.limits["streams"]:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "streams-busy",
                f"{self.running:,} streams run; accepted: up to {self.running:,} at once",
                retry_after=self.settings.times["busy"],
            )
        self.running += 1
        spool = Spool(self.folder, self.budget)
        writing = asyncio.create_task(self._fill(pipeline, receive, spool, seconds))
        try:
            await self._drain(spool, send, writing)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            spool.close()
            self.running -= 1

    async def _fill(
        self, pipeline: LinePipeline, receive: Receive, spool: Spool, seconds: float | None
    ) -> None:
        """Read the request, and write the answers to the spool."""
        at_most = self.answering.batch_size(pipeline)
        lines = read_lines(receive, self.settings.limits["stream_bytes"])
        try:
            with EarlierLines() as earlier:
                async with (
                    limit_time(seconds),
                    aclosing(
                        self.answering.answer(pipeline, into_batches(lines, at_most))
                    ) as results,
                ):
                    async for result in results:
                        compare_with_earlier(result, pipeline, earlier)
                        self.metrics.records(pipeline.identity.command, result.summary)
                        self.alarms.see(result.lines)
                        await spool.write(b"".join(result.lines))
        finally:
            spool.end()

    async def _drain(self, spool: Spool, send: Send, writing: asyncio.Task[None]) -> None:
        """Send what the spool holds. An error before the first piece becomes the answer."""
        begun = False
        while piece := await spool.read():
            if not begun:
                await send(_START)
                begun = True
            await self._send(send, {"type": "http.response.body", "body": piece, "more_body": True})
        try:
            await writing
        except ClientDisconnect:
            return
        except ServiceError as error:
            if not begun or error.name != "deadline":
                raise
        if not begun:
            await send(_START)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(self.settings.times["stall"]):
                await send(message)
        except TimeoutError as error:
            raise Stalled from error


_START = {
    "type": "http.response.start",
    "status": int(HTTPStatus.OK),
    "headers": [(b"content-type", b"application/jsonl"), (b"x-accel-buffering", b"no")],
}


async def read_lines(receive: Receive, limit: int) -> AsyncIterator[list[bytes]]:
    """Yield the complete lines of each piece of a body, without their newlines.

    Raises ServiceError above `limit` bytes, and ClientDisconnect.
    """
    rest, size, more = bytearray(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(body)
        if size > limit:
            raise too_large(limit, JOBS)
        *complete, last = body.split(b"\n")
        if complete:
            complete[0] = bytes(rest) + complete[0]
            rest.clear()
            yield [line[:_KEPT_BYTES] for line in complete]
        rest += last[: _KEPT_BYTES - len(rest)]
    if rest:
        yield [bytes(rest)]


async def into_batches(pieces: AsyncIterator[list[bytes]], at_most: int) -> AsyncIterator[Batch]:
    """Put lines into batches of up to `at_most`; a batch never waits for more lines."""
    number = 0
    async for lines in pieces:
        for start in range(0, len(lines), at_most):
            batch = lines[start : start + at_most]
            yield Batch(number + 1, list(batch), 0)
            number += len(batch)
            await asyncio.sleep(0)
