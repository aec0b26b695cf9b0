"""Personal data that the guard was not developed with: the rates of the guide."""

from __future__ import annotations

import random

import pytest

from finops_cli.guard.detector import Guard
from tests.support import personal_data_unseen as unseen

COUNT = 500


@pytest.mark.parametrize(("path", "key"), [("pools", "lefts"), ("pools", "host")])
def test_tables_of_unseen_data_differ(path: str, key: str) -> None:
    """The sentences and names that measure are none of those of development; common labels and
    formats, such as SSN and ###-##-####, are in both.
    """
    measured = set(unseen.tables("measure")[path][key])
    seen = {entry for half in unseen.DEVELOPED for entry in unseen.tables(half)[path][key]}
    assert measured
    assert seen
    assert measured & seen == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2600, 2601, 2602])
def test_guard_leaks_ten_of_500_unseen_pieces_at_most(seed: int, guard: Guard) -> None:
    """Of 500 pieces of ten kinds, with labels in five languages and disguises, at most 10 leak."""
    draw = random.Random(seed)
    pieces = [
        unseen.planted(draw, "measure", unseen.KINDS[number % len(unseen.KINDS)])
        for number in range(COUNT)
    ]
    leaked = [piece for piece in pieces if unseen.is_leaked(piece, guard.mask(piece.sentence).text)]
    assert len(leaked) <= 10, leaked


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2600, 2601, 2602])
def test_guard_masks_two_of_500_unseen_look_alikes_at_most(seed: int, guard: Guard) -> None:
    """Of 500 sentences with numbers of the desk only, at most 2 are changed."""
    draw = random.Random(seed)
    kinds = list(unseen.tables("measure")["look_alikes"])
    texts = [
        unseen.look_alike(draw, "measure", kinds[number % len(kinds)]) for number in range(COUNT)
    ]
    changed = [text for text in texts if guard.mask(text).text != text]
    assert len(changed) <= 2, changed


def test_leak_is_seen_through_a_disguise() -> None:
    """Four characters of a piece in a row count as leaked, however they are written."""
    piece = unseen.Planted("SSN", "123-45-6789", "SSN 123-45-6789, short 4567")
    assert unseen.is_leaked(piece, "SSN [SSN]-6789, short 4567")
    assert unseen.is_leaked(piece, "SSN \uff11\uff12\uff13-\uff14[SSN], short 4567")
    assert not unseen.is_leaked(piece, "SSN [SSN], short 4567")
