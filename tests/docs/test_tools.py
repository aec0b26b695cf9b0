"""The scripts of `tools/` that hooks and the release workflow run."""

from __future__ import annotations

import pytest

from tools import check_commit_subject, check_release

LONG = "Say what the commit does in so many words that no list of commits shows all of it"


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("", "empty"),
        ("# a comment of the editor\n", "empty"),
        (LONG, "81 characters"),
        ("Add a check.", "full stop"),
        ("add a check", "small letter"),
        ("Added a check", "imperative"),
        ("Fixes the reader", "imperative"),
    ],
)
def test_commit_subject_with_a_fault_is_refused(message: str, word: str) -> None:
    """A commit subject must be imperative, capitalised, at most 72 characters long and without a
    full stop.
    """
    [fault] = check_commit_subject.find_faults(message)
    assert word in fault


@pytest.mark.parametrize(
    "message", ["Add a check", "Address the reader by name\n\nA longer body.", "# x\nMove it"]
)
def test_commit_subject_in_plain_form_is_accepted(message: str) -> None:
    """A correct subject is accepted. Comment lines of the editor and the body are not checked."""
    assert check_commit_subject.find_faults(message) == []


DATED = "## [Unreleased]\n\n## [1.2.3] - 2026-01-05\n\n### Added\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "word"),
    [
        ("v1.2.4", DATED, "v1.2.3"),
        ("v1.2.3", "## [1.2.3]\n", "no heading"),
        ("v1.2.3", DATED.replace("]\n", "]\n\n### Added\n", 1), "unreleased changes"),
    ],
)
def test_release_with_a_wrong_tag_or_changelog_is_refused(
    tag: str, changelog: str, word: str
) -> None:
    """A release needs a tag of its version and a dated changelog heading without other unreleased
    changes.
    """
    [fault] = check_release.find_faults(tag, "1.2.3", changelog)
    assert word in fault


def test_release_of_a_dated_version_is_accepted() -> None:
    """A release whose tag, version and dated heading agree is accepted."""
    assert check_release.find_faults("v1.2.3", "1.2.3", DATED) == []
