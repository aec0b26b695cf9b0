"""The upload of a file, the look at its first rows, and the job on it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, cast

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message, Receive

from finops_cli.service.batch.commands import COMMANDS
from finops_cli.service.batch.routes import JobRequest
from finops_cli.service.desk.forms import Form, make_form_key, read_form
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.upload.multipart import FormFile, read_boundary
from finops_cli.service.desk.upload.preview import FIELDS, Preview, preview_file
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute, shared_route
from finops_cli.service.store.answers import KeptAnswer
from finops_cli.service.store.files import StoredFile, files_folder, list_files
from finops_cli.service.store.jobs import Job, JobCommandName
from finops_cli.service.uploads.routes import find_file

_SHOWN_FILES = 20
_YAML = "application/yaml"
_FACT_FILES = ("inventory", "counterparty_history")
_SWITCHES = ("strict_input", "allow_stale", "certificate")
_WORDS = ("clock", "on_violation")
COMMAND_WORDS: dict[JobCommandName, str] = {
    "run": "Triage and plan each fail",
    "triage": "Triage only",
    "book": "Triage and plan, and share the box between fails of one security",
    "resolve": "Plan only: the records are triaged already",
    "clock": "Due dates only",
    "sentiment": "Label the texts",
    "check": "Check these answers against the rules",
    "net": "Find the legs that settle together",
}
"""The commands that a person can run on a file, in words."""
_CHOICES: dict[JobCommandName, tuple[JobCommandName, ...]] = {
    "run": ("run", "triage", "book", "clock")
}
"""The commands that take the records of one; a command that is not here takes its own alone."""
_NEEDS_MOMENT = ("run", "triage", "book", "clock")
FIELD_TITLES = {
    "fail_id": "Fail",
    "cusip": "CUSIP",
    "side": "Side",
    "qty": "Shares",
    "market_value": "Value",
    "counterparty": "Counterparty",
    "age_days": "Age",
}


class StartForm(Struct, frozen=True, kw_only=True):
    """The fields of the form below the preview: a faulty form comes back as it was."""

    command: str = ""
    day: str = ""
    time: str = ""
    clock: str = "card"
    on_violation: str = ""
    inventory: str = ""
    inventory_as_of: str = ""
    counterparty_history: str = ""
    strict_input: bool = False
    allow_stale: bool = False
    certificate: bool = False


def choices_for(preview: Preview) -> list[tuple[JobCommandName, str]]:
    """Return the commands for the records of a file, each in words."""
    names = _CHOICES.get(preview.command, (preview.command,))
    return [(name, COMMAND_WORDS.get(name, name)) for name in names]


def read_start(form: Form) -> StartForm:
    """Read the form below the preview; nothing is judged yet."""
    return StartForm(
        command=form.text("command"),
        day=form.text("day"),
        time=form.text("time"),
        clock=form.text("clock") or "card",
        on_violation=form.text("on_violation"),
        inventory=form.text("inventory"),
        inventory_as_of=form.text("inventory_as_of"),
        counterparty_history=form.text("counterparty_history"),
        strict_input=bool(form.text("strict_input")),
        allow_stale=bool(form.text("allow_stale")),
        certificate=bool(form.text("certificate")),
    )


def job_of(start: StartForm, input: str, mapping: str | None) -> JobRequest:
    """Return the job that a form asks for. Raises ServiceError 422 for a missing moment."""
    if start.command not in COMMANDS:
        raise wrong_value("What to do", start.command[:40] or "not chosen", "one of the choices")
    command = cast("JobCommandName", start.command)
    options: dict[str, Any] = {}
    if command in _NEEDS_MOMENT:
        if not start.day:
            raise wrong_value(
                "As of", "missing", "the day that the deadlines are counted from: choose it"
            )
        options["as_of"] = f"{start.day}T{start.time}" if start.time else start.day
    for name in (*_WORDS, *_FACT_FILES, "inventory_as_of"):
        if value := getattr(start, name):
            options[name] = value
    options |= {name: True for name in _SWITCHES if getattr(start, name)}
    if mapping is not None:
        options["map"] = mapping
    accepted = COMMANDS[command].options
    return JobRequest(command, input, {k: v for k, v in options.items() if k in accepted})


class UploadPages:
    """Answers `/upload` and the paths below it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def form(self, request: Request) -> Response:
        """Show the form, and the files that are here already."""
        require_right(request, "operate")
        return await self._show_form(request)

    async def upload(self, request: Request) -> Response:
        """Store the file of a form, and show its first rows."""
        require_right(request, "operate")
        try:
            boundary = read_boundary(request.headers.get("content-type", ""))
            file = FormFile(request.receive, boundary)
            await file.open()
            kept = await self._parts.files.take(request, file, file.name, "")
        except ServiceError as error:
            if not _is_about_the_file(error):
                raise
            return await self._show_form(request, error)
        stored = msgspec.json.decode(kept.body, type=StoredFile)
        return RedirectResponse(f"/upload/{stored.id}", 303)

    async def preview(self, request: Request) -> Response:
        """Show the first rows of a file. Raises ServiceError 404 and 410."""
        require_right(request, "operate")
        return await self._show_preview(request, request.query_params.get("map"), StartForm())

    async def start(self, request: Request) -> Response:
        """Begin the job of the form, or look again with another mapping."""
        require_right(request, "operate")
        form = await read_form(request)
        file = await find_file(self._parts.database, request.path_params["id"])
        claim = form.claim(facts_of(request).name, file.id)
        if (kept := await self._parts.idempotency.find(claim)) is not None:
            return _go_to_job(kept)
        mapping = await self._store_mapping(request, form, file)
        if form.text("do") == "preview":
            chosen = "" if mapping is None else f"?map={mapping}"
            return RedirectResponse(f"/upload/{file.id}{chosen}", 303)
        start = read_start(form)
        try:
            asked = job_of(start, file.id, mapping)
            kept = await self._parts.jobs.add(request, asked, claim)
        except ServiceError as error:
            if error.status != 422:
                raise
            return await self._show_preview(request, mapping, start, error)
        return _go_to_job(kept)

    async def _store_mapping(self, request: Request, form: Form, file: StoredFile) -> str | None:
        """Store the mapping of the form as a file, unless it is the one that was shown."""
        text, shown = form.text("mapping"), form.text("map")
        if not text:
            return None
        if shown:
            known = await find_file(self._parts.database, shown)
            path = files_folder(self._parts.data) / known.id
            stored = await asyncio.to_thread(path.read_text, encoding="utf-8", errors="replace")
            if _same_text(stored, text):
                return known.id
        content = text.replace("\r\n", "\n").encode() + b"\n"
        name = f"mapping of {file.name or file.id}.yaml"
        kept = await self._parts.files.take(request, _receive_bytes(content), name, _YAML)
        return msgspec.json.decode(kept.body, type=StoredFile).id

    async def _show_form(self, request: Request, error: ServiceError | None = None) -> Response:
        files = await self._parts.database.read(lambda db: list_files(db, _SHOWN_FILES))
        limits = self._parts.answering.kb.serve.limits
        limit = limits["upload_bytes"]
        status = 200 if error is None else int(error.status)
        answer = render(
            request,
            "upload.html",
            status=status,
            files=[each for each in files if each.media_type != _YAML],
            limit=limit,
            limit_words=write_bytes(limit),
            book_words=write_bytes(limits["workbook_bytes"]),
            problem=None if error is None else str(error),
        )
        if error is not None:
            answer.headers.update(error.headers)
        return answer

    async def _show_preview(
        self,
        request: Request,
        mapping: str | None,
        start: StartForm,
        error: ServiceError | None = None,
    ) -> Response:
        parts = self._parts
        file = await find_file(parts.database, request.path_params["id"])
        chosen = None if not mapping else await find_file(parts.database, mapping)
        folder = files_folder(parts.data)
        preview = await asyncio.to_thread(
            preview_file,
            folder / file.id,
            file.name or file.id,
            folder / f"preview-{secrets.token_hex(8)}.part",
            parts.answering.kb,
            None if chosen is None else folder / chosen.id,
        )
        files = await parts.database.read(lambda db: list_files(db, _SHOWN_FILES))
        return render(
            request,
            "upload_preview.html",
            status=200 if error is None else int(error.status),
            file=file,
            size=write_bytes(file.bytes),
            preview=preview,
            titles=[FIELD_TITLES[name] for name in FIELDS],
            choices=choices_for(preview),
            needs_moment=preview.command in _NEEDS_MOMENT,
            files=[each for each in files if each.id != file.id and each.media_type != _YAML],
            map_id="" if chosen is None else chosen.id,
            has_models=parts.answering.backend.concurrency > 0,
            start=start,
            key=make_form_key(),
            problem=None if error is None else str(error),
        )


def _go_to_job(kept: KeptAnswer) -> Response:
    job = msgspec.json.decode(kept.body, type=Job)
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _is_about_the_file(error: ServiceError) -> bool:
    """Return true for an error that another file, or the same one later, would not have."""
    return int(error.status) in (400, 413, 415, 422, 503, 507)


def _same_text(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def _receive_bytes(content: bytes) -> Receive:
    """Return bytes as the body of a request."""

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def write_bytes(count: int) -> str:
    """Write a size: 1 GiB, 3.5 MiB, 812 bytes."""
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count:,} bytes"


def list_upload_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the upload."""
    pages = UploadPages(parts)
    return [
        shared_route("/upload", GET=pages.form, POST=pages.upload),
        NamedRoute("/upload/{id}", pages.preview),
        NamedRoute("/upload/{id}/start", pages.start, methods=["POST"]),
    ]
