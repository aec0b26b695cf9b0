"""The parameters of a request: which moment, which clock, which parts of an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import get_args

from starlette.datastructures import QueryParams

from finops_cli.clock.facts import AsOf
from finops_cli.clock.moments import parse_moment
from finops_cli.pipeline.clock import ClockMode
from finops_cli.pipeline.sentiment.pipeline import Split
from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.records.answering import AnswerOptions

_MODES: tuple[ClockMode, ...] = get_args(ClockMode)
_SWITCHES = {"true": True, "false": False}
_SPLITS: tuple[Split, ...] = get_args(Split)
ACCEPTED_OF_TEXTS = ("timing", "keep_raw", "split", "field")
TIME_LIMIT = "Finops-Deadline"
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_MOST_SECONDS = 86_400
ACCEPTED = ("as_of", "clock", "timing", "keep_raw", "strict_input")


def read_text_options(query: QueryParams) -> AnswerOptions:
    """Read the parameters of `/v1/sentiment`. Raises ServiceError 422, which names it."""
    _refuse_others(query, ACCEPTED_OF_TEXTS)
    split = query.get("split", "none")
    if split not in _SPLITS:
        raise wrong_value("split", split, " or ".join(_SPLITS))
    field = query.get("field", "text")
    if not field.isidentifier():
        raise wrong_value("field", field[:80], "the name of a field, such as notes")
    return AnswerOptions(
        timing=_read_switch(query, "timing"),
        keep_raw=_read_switch(query, "keep_raw"),
        split=split,
        field=field,
    )


def read_options(query: QueryParams) -> AnswerOptions:
    """Read the parameters of a data route. Raises ServiceError 422, which names the parameter."""
    _refuse_others(query, ACCEPTED)
    mode = query.get("clock", "card")
    if mode not in _MODES:
        raise wrong_value("clock", mode, " or ".join(_MODES))
    return AnswerOptions(
        as_of=_read_moment(query.get("as_of")),
        clock=mode,
        timing=_read_switch(query, "timing"),
        keep_raw=_read_switch(query, "keep_raw"),
        strict_input=_read_switch(query, "strict_input"),
    )


def _refuse_others(query: QueryParams, accepted: tuple[str, ...]) -> None:
    """Raise ServiceError 422 for an unknown parameter, and for one that is given twice."""
    unknown = sorted(set(query) - set(accepted))
    if unknown:
        raise wrong_value("the parameter", unknown[0], ", ".join(accepted))
    repeated = sorted(name for name in query if len(query.getlist(name)) > 1)
    if repeated:
        raise wrong_value(repeated[0], "given twice", "one value")


def read_time_limit(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header `Finops-Deadline`; None without it. Raises ServiceError 422.

    It can only shorten what the service takes by itself: a model has its own time limit.
    """
    text = headers.get(TIME_LIMIT)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not 1 <= float(text) <= _MOST_SECONDS:
        accepted = f"seconds, from 1 to {_MOST_SECONDS:,}, such as 2.5"
        raise wrong_value(f"the header {TIME_LIMIT}", text[:40], accepted)
    return float(text)


@asynccontextmanager
async def limit_time(seconds: float | None) -> AsyncIterator[None]:
    """End what is awaited after `seconds`. Raises ServiceError 504."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise ServiceError(
            HTTPStatus.GATEWAY_TIMEOUT,
            "deadline",
            f"there is no answer within the {seconds:g} s of the header {TIME_LIMIT}; accepted:"
            " more time, or fewer records",
        ) from error


def missing_moment() -> ServiceError:
    """Return the error of a request about dates that names no moment."""
    return wrong_value("as_of", "missing", _MOMENT)


_MOMENT = "a day or a moment that exists, such as 2026-11-27 or 2026-11-27T09:15"


def _read_moment(text: str | None) -> AsOf | None:
    if text is None:
        return None
    try:
        return AsOf(moment=parse_moment(text), source="option")
    except ValueError as error:
        raise wrong_value("as_of", text, _MOMENT) from error


def _read_switch(query: QueryParams, name: str) -> bool:
    text = query.get(name, "false")
    if text not in _SWITCHES:
        raise wrong_value(name, text, "true or false")
    return _SWITCHES[text]
