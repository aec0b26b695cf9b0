"""Where the service listens, and what it refuses to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.service.config import ServeConfig, is_loopback

FILE = Path("file")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("::", False),
        ("192.168.1.4", False),
        ("desk.example", False),
    ],
)
def test_loopback_by_address(host: str, expected: bool) -> None:
    """Only this machine reaches a loopback address; the wildcard addresses are open."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "--tokens FILE and --tls-cert"),
        ({"tokens": FILE}, "Expected also --tls-cert"),
        ({"behind_proxy": "10.0.0.1"}, "Expected also --tokens"),
        ({"tls_certificate": FILE}, "belong together"),
    ],
)
def test_open_address_needs_tokens_and_tls(options: dict[str, object], missing: str) -> None:
    """An address that other machines reach is refused without a file of tokens and TLS."""
    config = ServeConfig(host="10.0.0.7", data=FILE, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=missing):
        config.refuse_open_doors()


def test_complete_settings_are_accepted() -> None:
    """Loopback needs nothing; an open address is accepted with tokens and TLS or a proxy."""
    ServeConfig(data=FILE).refuse_open_doors()
    ServeConfig(
        host="10.0.0.7", data=FILE, tokens=FILE, tls_certificate=FILE, tls_key=FILE
    ).refuse_open_doors()
    ServeConfig(host="::", data=FILE, tokens=FILE, behind_proxy="10.0.0.1").refuse_open_doors()


def test_second_person_needs_a_token() -> None:
    """`--four-eyes` is refused where the service makes the one token itself."""
    with pytest.raises(UsageError, match="nobody could accept an override"):
        ServeConfig(data=FILE, four_eyes=True).refuse_open_doors()
    ServeConfig(data=FILE, four_eyes=True, tokens=FILE).refuse_open_doors()
    ServeConfig(data=FILE, four_eyes=True, store="postgresql://db/finops").refuse_open_doors()
