"""The key of a server: where it comes from, and that it goes into one header and nowhere else."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    Changed,
    ErrorEvent,
    FakeOpenAI,
    Finish,
    FixedText,
    Status,
)
from finops_cli.domain.limits import SHOWN_CHARS, TEXT_CHARS
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.openai.api import list_models
from finops_cli.models.openai.api_key import ApiKey, read_api_key
from finops_cli.models.servers.answers import read_error
from tests.support.ollama_models import some_fails
from tests.support.openai_models import fail_first, server_options, triage_at
from tests.support.program import Finops
from tests.support.records import jsonl

KEY = "sk-Very/Secret+0123456789=="
BEGINNING = KEY[:6]
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the key that only its owner may read."""
    file = tmp_path / "secret" / "key"
    file.parent.mkdir()
    file.touch(0o600)
    file.write_text(f"{KEY}\n")
    return file


@pytest.mark.slow
def test_key_goes_into_one_header(
    finops: Finops, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the file, else of FINOPS_API_KEY, opens the server; without it the exit is 3."""
    with FakeOpenAI(key=KEY) as server:
        options = ("triage", "-", *server_options(server), "--guard", "off")
        record = jsonl(*some_fails(1))
        assert finops(*options, "--api-key-file", key_file, stdin=record).returncode == 0
        refused = finops(*options, stdin=record)
        assert refused.returncode == 3
        assert b"asks for a key (HTTP 401)" in refused.stderr
        assert b"fix: set FINOPS_API_KEY, or give a file" in refused.stderr
        monkeypatch.setenv("FINOPS_API_KEY", KEY)
        assert finops(*options, stdin=record).returncode == 0
        monkeypatch.setenv("FINOPS_API_KEY", f"{KEY}x")
        wrong = finops(*options, stdin=record)
        assert wrong.returncode == 3
        assert KEY.encode() not in wrong.stderr
        assert finops(*options, "--api-key-file", key_file, stdin=record).returncode == 0
    assert {request.authorization for request in server.received} == {f"Bearer {KEY}"}


def echoes() -> list[Behaviour]:
    """Return the answers of a server that sends the key back wherever it can."""

    def into_reason(answer: dict[str, object]) -> dict[str, object]:
        return {**answer, "reason": f"the key is {KEY}"}

    return [
        FixedText(f"Incorrect key {KEY}"),
        FixedText(f'{{"reason": "{ESCAPED}"}}'),
        Changed(into_reason),
        ErrorEvent(f"key {KEY} expired"),
        Status(500, f'{{"error":{{"message":"bad {KEY}"}}}}'),
        Status(400, f"bad {KEY}"),
        Status(200, f"data: {KEY}\n\n"),
    ]


@pytest.mark.slow
def test_key_is_in_no_file_and_no_message(
    finops: Finops, tmp_path: Path, key_file: Path, quick_kb: Path
) -> None:
    """Output, note, capture, statistics and messages hold no byte of the key, also where a server
    sends it back.
    """
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "fails.jsonl").write_bytes(jsonl(*some_fails(2)))
    said = b""
    with FakeOpenAI(key=KEY) as server:
        for number, behaviour in enumerate(echoes()):
            server.script = fail_first(behaviour)
            done = finops(
                *(
                    "--kb",
                    quick_kb,
                    "run",
                    folder / "fails.jsonl",
                    "-o",
                    folder / f"{number}.jsonl",
                ),
                *(*server_options(server), "--api-key-file", key_file, "--keep-raw"),
                *("--stats-json", folder / f"{number}.json", "--prose", "keep", "--guard", "off"),
            )
            said += done.stdout + done.stderr
            assert b"Traceback" not in done.stderr
        server.listing = (200, f'{{"data":[{{"id":"m {KEY}"}}]}}'.encode())
        for command in ("run", "models", "doctor"):
            source = ("-",) if command == "run" else ()
            done = finops(command, *source, *server_options(server), "--api-key-file", key_file)
            said += done.stdout + done.stderr
        server.listing = (418, f"no {KEY}".encode())
        said += finops("models", *server_options(server), "--api-key-file", key_file).stderr
    written = [file for file in folder.rglob("*") if file.is_file()]
    assert len(written) >= 3 * len(echoes())
    for place in (*(file.read_bytes() for file in written), said):
        assert KEY.encode() not in place
        assert ESCAPED.encode() not in place
    assert b"[api key]" in said
    assert any(b"[api key]" in file.read_bytes() for file in written)


def cut_within_key(shown: int) -> str:
    """Return a text whose first `shown` characters end in the middle of the key."""
    return "y" * (shown - len(KEY) // 2) + KEY


@pytest.mark.parametrize(
    "behaviour",
    [
        Status(500, f'{{"error":{{"message":"{cut_within_key(4 * SHOWN_CHARS - 12)}"}}}}'),
        Status(400, cut_within_key(4 * SHOWN_CHARS)),
        Status(200, f"data: {cut_within_key(SHOWN_CHARS)}\n\n"),
        ErrorEvent(cut_within_key(4 * SHOWN_CHARS)),
        Finish(cut_within_key(4 * SHOWN_CHARS)),
    ],
)
def test_cut_within_the_key_leaves_no_part_of_it(
    behaviour: Behaviour, vllm: FakeOpenAI, quick: KnowledgeBase, key_file: Path
) -> None:
    """A text of a server that is shortened in the middle of the key shows no part of the key."""
    answer = triage_at(vllm, quick, fail_first(behaviour), api_key_file=key_file)
    assert answer.status == "fallback"
    assert BEGINNING not in repr(answer)


@pytest.mark.parametrize("padding", [b" ", b"\n", b" no "])
def test_body_that_ends_within_the_key_leaves_no_part(padding: bytes) -> None:
    """The rest of an error that is too long is not read; where that begins in the middle of the
    key, its first half is not shown.
    """
    long = padding * TEXT_CHARS + KEY[:-2].encode()
    for pieces in ([long, KEY[-2:].encode()], [b" " * TEXT_CHARS, b" "]):
        found = read_error(httpx.Response(500, content=iter(pieces)), ApiKey(KEY).scrub)
        assert BEGINNING not in found
        assert found


def test_list_of_models_shows_no_part_of_the_key(vllm: FakeOpenAI) -> None:
    """Names and owners in a list of models, and a page in its place, show no part of the key."""
    entry = {"id": cut_within_key(1_000), "owned_by": KEY, "parent": KEY}
    vllm.listing = (200, msgspec.json.encode({"data": [entry]}))
    assert BEGINNING not in repr(list_models(vllm.url, ApiKey(KEY)))
    vllm.listing = (418, cut_within_key(200).encode())
    with pytest.raises(MissingPiece) as refused:
        list_models(vllm.url, ApiKey(KEY))
    assert BEGINNING not in str(refused.value)


def test_file_that_others_may_read_is_refused(key_file: Path) -> None:
    """A key that other users may read is refused: the error says what to do."""
    key_file.chmod(0o640)
    with pytest.raises(UsageError, match=r"other users may read it \(mode 0640\)") as caught:
        read_api_key(key_file)
    assert caught.value.cure == f"chmod 600 {key_file}"


@pytest.mark.parametrize("text", ["two words", "line\nline", "kéy", "\x00", "x" * 20_000])
def test_text_that_is_no_key_is_refused_unseen(text: str, key_file: Path) -> None:
    """An unusable key is refused before any request; the message holds none of it."""
    key_file.write_text(text)
    with pytest.raises(UsageError, match="not a key") as caught:
        read_api_key(key_file)
    assert text not in str(caught.value) + str(caught.value.cure)


def test_empty_file_and_missing_file_are_refused(key_file: Path, tmp_path: Path) -> None:
    """A file that was named must hold a key."""
    key_file.write_text("\n")
    with pytest.raises(UsageError, match="the file is empty"):
        read_api_key(key_file)
    with pytest.raises(UsageError, match="No such file"):
        read_api_key(tmp_path / "none")
    with pytest.raises(UsageError, match="not a regular file"):
        read_api_key(Path("/dev/null"))


def test_key_is_not_printed() -> None:
    """A key in a message or a log of its object stays hidden, and short ones damage no text."""
    assert KEY not in repr(ApiKey(KEY))
    assert ApiKey(KEY).scrub(f"a {KEY} b") == "a [api key] b"
    assert ApiKey("no").scrub("no answer") == "no answer"
