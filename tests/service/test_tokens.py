"""Tokens and their file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.service.auth.roles import RIGHTS, ROLES, Role
from finops_cli.service.auth.tokens import (
    TokenFile,
    digest_of,
    find_owner,
    make_token,
    new_owner,
    read_owners,
    token_entry,
)
from tests.support.program import Finops

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


def entry_of(token: str, name: str, role: Role, now: datetime, days: int | None) -> str:
    return token_entry(new_owner(token, name, role, now, days))


def token_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_token_of_the_file_is_found_until_it_expires(tmp_path: Path) -> None:
    """A token has its owner until its last moment, and a token that nobody made has none."""
    token = make_token()
    path = token_file(tmp_path / "t.toml", entry_of(token, "anna", "analyst", NOW, 90))
    owners = asyncio.run(TokenFile(path).owners())
    owner = find_owner(owners, token, NOW + timedelta(days=89, hours=23))
    assert owner is not None
    assert (owner.name, owner.role) == ("anna", "analyst")
    assert find_owner(owners, token, NOW + timedelta(days=90)) is None
    assert find_owner(owners, make_token(), NOW) is None


def test_file_holds_no_token(tmp_path: Path) -> None:
    """The entry of a token has its digest, and not the token."""
    token = make_token()
    entry = entry_of(token, "anna", "reader", NOW, None)
    assert token not in entry
    assert digest_of(token) in entry


def test_person_of_a_token_is_in_its_entry(tmp_path: Path) -> None:
    """A file keeps who holds a token, and one without a person stays as it was."""
    owners = [new_owner("a", "anna", "analyst", NOW, 1),
              new_owner("b", "anna-2", "analyst", NOW, 1, 'Anna "A" Bell')]  # fmt: skip
    text = "".join(map(token_entry, owners))
    assert read_owners(token_file(tmp_path / "t.toml", text)) == owners
    assert text.count("person") == 1
    with pytest.raises(UsageError, match=r"--person '  ': not a name"):
        new_owner("c", "ben", "analyst", NOW, 1, "  ")


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """A token that is taken out of the file is not accepted any more."""
    first, second = make_token(), make_token()
    path = token_file(tmp_path / "t.toml", entry_of(first, "a", "admin", NOW, None))
    tokens = TokenFile(path)
    assert find_owner(asyncio.run(tokens.owners()), first, NOW) is not None
    token_file(path, entry_of(second, "bb", "admin", NOW, None))
    assert find_owner(asyncio.run(tokens.owners()), first, NOW) is None
    assert find_owner(asyncio.run(tokens.owners()), second, NOW) is not None


def test_file_that_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    """Requests of one turn of the event loop share a look at the file; each later turn looks again,
    also where the look before has failed.
    """
    text = entry_of(make_token(), "a", "admin", NOW, None)
    path = token_file(tmp_path / "t.toml", text)
    tokens = TokenFile(path)

    async def ask() -> None:
        before = await tokens.owners()
        path.unlink()
        assert await tokens.owners() is before
        for _ in range(2):
            await asyncio.sleep(0)
            with pytest.raises(FileNotFoundError):
                await tokens.owners()
        token_file(path, text)
        assert await tokens.owners() == before

    asyncio.run(ask())


def test_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A file of tokens must be private."""
    path = token_file(tmp_path / "t.toml", entry_of(make_token(), "a", "admin", NOW, None))
    path.chmod(0o644)
    with pytest.raises(UsageError, match="other users of this machine may read it"):
        TokenFile(path)


def _entries(*given: tuple[str, str]) -> str:
    return "".join(
        f"[[token]]\nname = '{name}'\nrole = 'admin'\nsha256 = '{sha256}'\n"
        for name, sha256 in given
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no \\[\\[token\\]\\]"),
        ("[[token]]\n", "token 1: name is None"),
        ("x = 1\n[[token]]\nname = 'a'\n", "nothing else"),
        ("[[token]]\nname = 'a'\nperson = 7\n", "person is 7. Expected a text of visible"),
        ("[[token]]\nname = 'a'\nperson = ''\n", "person is . Expected a text of visible"),
        ("[[token]]\nname = 'a'\nrole = 'boss'\n", "role is boss. Expected reader, analyst"),
        ("[[token]]\nname = 'a'\nrole = 'admin'\nsha256 = 'x'\n", "sha256 is x"),
        ("[[token]]\nname = 'a'\ntoken = 'fop_x'\n", "no other field"),
        ("[[token]\n", "t.toml"),
        (f"[[token]]\nname = 'a'\nrole = 'admin'\nsha256 = '{'G' * 64}'\n", "sha256 is G"),
        (_entries(("anna", "a" * 64), ("Anna ", "b" * 64)), "the name anna is used twice"),
        (_entries(("a", "c" * 64), ("b", "c" * 64)), "a and b have the same token"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A fault in the file is named with the token and the field."""
    path = token_file(tmp_path / "t.toml", text)
    with pytest.raises(UsageError, match=message):
        read_owners(path)


def test_moment_without_offset_is_refused(tmp_path: Path) -> None:
    """A token expires at a moment that does not depend on the time zone of the machine."""
    entry = entry_of(make_token(), "a", "admin", NOW, None) + "expires = 2026-12-01T00:00:00\n"
    with pytest.raises(UsageError, match="a moment with its offset"):
        read_owners(token_file(tmp_path / "t.toml", entry))


def test_name_that_is_used_twice_is_refused(tmp_path: Path) -> None:
    """Each owner has a name of its own, because the audit log names owners."""
    entries = "".join(entry_of(make_token(), "a", "admin", NOW, None) for _ in range(2))
    with pytest.raises(UsageError, match="the name a is used twice"):
        read_owners(token_file(tmp_path / "t.toml", entries))


@pytest.mark.parametrize("name", ['a"b', "back\\slash", "Łukasz 李", "it's = # ["])
def test_name_with_signs_of_toml_is_read_again(tmp_path: Path, name: str) -> None:
    """A name is written so that the file gives it back: one odd name must not lock all out."""
    path = token_file(tmp_path / "t.toml", entry_of(make_token(), name, "reader", NOW, None))
    assert [owner.name for owner in read_owners(path)] == [name]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[2J"])
def test_name_that_no_line_can_show_is_refused(name: str) -> None:
    """Tables and logs show the name of an owner, so it must be visible, and in one line."""
    with pytest.raises(UsageError, match="not a name"):
        new_owner(make_token(), name, "reader", NOW, None)


def test_name_that_differs_by_case_is_not_added(tmp_path: Path, finops: Finops) -> None:
    """A file that the service would refuse is not made: `Anna` beside `anna` is refused before."""
    path = tmp_path / "t.toml"
    command = ("token", "new", "--role", "reader", "-o", path, "--name")
    assert finops(*command, "anna").returncode == 0
    before = path.read_bytes()
    refused = finops(*command, " Anna")
    assert refused.returncode == 2
    assert b"has the name anna already" in refused.stderr
    assert path.read_bytes() == before


def test_rights_by_role() -> None:
    """The table of roles: each has the rights of the specification, and no others."""
    table = {
        "reader": {"see"},
        "analyst": {"see", "answer"},
        "operator": {"see", "answer", "operate"},
        "auditor": {"see", "audit"},
        "admin": {"see", "answer", "operate", "audit", "administer"},
    }
    assert {role: set(RIGHTS[role]) for role in ROLES} == table
