"""The form of an upload, read while it arrives."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from starlette.types import Message

from finops_cli.service.desk.upload.multipart import FormFile, read_boundary
from finops_cli.service.problems import ServiceError

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
CONTENTS = (
    b"",
    b"one line",
    b'{"fail_id": "F-1"}\r\n{"fail_id": "F-2"}\n',
    b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n--",
    b"--" + BOUNDARY.encode() + b" in a line",
    bytes(range(256)) * 40,
)


def form(content: bytes, filename: str = "fails.jsonl") -> bytes:
    """Write the form that a browser sends for one field and one file."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [
        f'{head}"note"\r\n\r\nfrom the desk\r\n',
        f'{head}"file"; filename="{filename}"\r\nContent-Type: text/plain\r\n\r\n',
    ]
    return "".join(parts).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


async def take(body: bytes, size: int) -> tuple[FormFile, bytes, int]:
    """Read a form that arrives in pieces of `size` bytes; return the most bytes of a message."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    waiting = iter(enumerate(pieces, start=1))

    async def receive() -> Message:
        number, piece = next(waiting)
        return {"type": "http.request", "body": piece, "more_body": number < len(pieces)}

    file = FormFile(receive, BOUNDARY)
    await file.open()
    content, most, more = b"", 0, True
    while more:
        message = await file()
        content += message["body"]
        most = max(most, len(message["body"]))
        more = message["more_body"]
    return file, content, most


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000, 100_000])
def test_content_arrives_whole_in_any_pieces(content: bytes, size: int) -> None:
    """The content is what was sent, however the network cuts it, also beside near boundaries."""
    if b"\r\n--" + BOUNDARY.encode() in b"\r\n" + content:
        content = content.replace(b"--", b"-", 1)
    file, found, most = asyncio.run(take(form(content), size))
    assert found == content
    assert file.name == "fails.jsonl"
    assert file.fields == {"note": "from the desk"}
    assert most <= size + len(BOUNDARY) + 8


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"hello", HTTPStatus.BAD_REQUEST),
        (form(b"x")[:-10], HTTPStatus.BAD_REQUEST),
        (form(b"x")[:60], HTTPStatus.BAD_REQUEST),
        (form(b"x", ""), HTTPStatus.UNPROCESSABLE_ENTITY),
        (f"--{BOUNDARY}--\r\n".encode(), HTTPStatus.UNPROCESSABLE_ENTITY),
        (f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--".encode(), HTTPStatus.BAD_REQUEST),
        (f"--{BOUNDARY}!!".encode(), HTTPStatus.BAD_REQUEST),
        (f"--{BOUNDARY}\r\nX: ".encode() + b"y" * 9_000, HTTPStatus.BAD_REQUEST),
        (form(b"x").replace(b"from the desk", b"z" * 5_000), HTTPStatus.BAD_REQUEST),
    ],
)
def test_damaged_form_is_refused(body: bytes, status: HTTPStatus) -> None:
    """A form that is cut off, too long beside its file or without a file is named as such."""
    for size in (1, 50, 100_000):
        with pytest.raises(ServiceError) as caught:
            asyncio.run(take(body, size))
        assert caught.value.status == status


@pytest.mark.parametrize(
    "given",
    [
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\nb"',
    ],
)
def test_form_without_boundary_is_refused(given: str) -> None:
    """A form needs the media type and a boundary of RFC 2046."""
    with pytest.raises(ServiceError) as caught:
        read_boundary(given)
    assert caught.value.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_boundary_is_read_with_and_without_quotes() -> None:
    """Browsers write the boundary bare, other clients in quotes."""
    assert read_boundary(f"multipart/form-data; boundary={BOUNDARY}") == BOUNDARY
    assert read_boundary(f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"') == BOUNDARY
