"""The guard masks what tells of a person and leaves the desk's own numbers alone (kb:
`guard.*`).
"""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_cli.guard.detector import Guard
from tests.support import (
    desk_notes,
    look_alikes,
    personal_data,
    personal_data_attacks,
    personal_data_held_out,
)

KINDS = list(personal_data.PLANTED)
COUNT = 500


def _leaks(planted: personal_data.Planted, text: str) -> bool:
    """Whether `text` still shows the number, or four characters of it in a row with a digit among
    them.
    """
    parts = re.findall(r"[A-Za-z0-9]{4,}", planted.what)
    return planted.what in text or any(part in text for part in parts if re.search("[0-9]", part))


def test_none_of_500_planted_survives(guard: Guard) -> None:
    """Ten kinds in the sentences of a desk: each is replaced by its placeholder, and nothing else
    changes.
    """
    draw = random.Random(500)
    assert len(KINDS) == 10
    for number in range(COUNT):
        planted = personal_data.planted(draw, KINDS[number % len(KINDS)])
        masked = guard.mask(planted.sentence)
        assert not _leaks(planted, masked.text), (planted, masked)
        assert masked.text == planted.sentence.replace(planted.what, f"[{planted.kind}]"), (
            planted,
            masked,
        )
        assert masked.kinds == (planted.kind,)


def test_500_look_alikes_stay_to_the_letter(guard: Guard) -> None:
    """CUSIPs, ISINs, DTC numbers, quantities, prices, dates, references and rates, also beside
    words such as account and call.
    """
    draw = random.Random(501)
    kinds = list(look_alikes.LOOK_ALIKES)
    for number in range(COUNT):
        sentence = look_alikes.look_alike(draw, kinds[number % len(kinds)])
        assert guard.mask(sentence) == (sentence, ())


def test_held_out_sentences_are_read_as_well(guard: Guard) -> None:
    """Another generator's sentences and formats: at most one planted in 200 is missed, at most one
    look-alike in 200 is touched.
    """
    draw = random.Random(502)
    planted = [
        personal_data_held_out.planted(draw, KINDS[number % len(KINDS)]) for number in range(COUNT)
    ]
    alike = [
        personal_data_held_out.look_alike(draw, kind)
        for kind in personal_data_held_out.LOOK_ALIKES
        for _ in range(COUNT // 8)
    ]
    assert sum(_leaks(one, guard.mask(one.sentence).text) for one in planted) <= len(planted) // 200
    assert sum(guard.mask(sentence).text != sentence for sentence in alike) <= len(alike) // 200


def test_clauses_of_a_note_do_not_confuse_each_other(guard: Guard) -> None:
    """Planted and look-alikes side by side in any order: none survives, at most one note in 100 is
    masked otherwise than its clauses.
    """
    draw = random.Random(504)
    notes = [desk_notes.note(draw) for _ in range(COUNT)]
    masked = [guard.mask(note.text).text for note in notes]
    pairs = list(zip(notes, masked, strict=True))
    assert [
        one
        for note, text in pairs
        for one in note.planted
        if one.what in text and one.what not in note.masked
    ] == []
    assert sum(note.masked != text for note, text in pairs) <= COUNT // 100


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("acct 12345678 short 5000", "acct [ACCOUNT] short 5000"),
        ("account 5000000 shares short", "account 5000000 shares short"),
        ("account 12345678: 20000000 of 594918104", "account [ACCOUNT]: 20000000 of 594918104"),
        ("SSN: 594918104, CUSIP 594918104", "SSN: [SSN], CUSIP 594918104"),
        ("accounts 12345678 and 87654321", "accounts [ACCOUNT] and [ACCOUNT]"),
        ("acct ending in 4321, ABA 021000021", "acct ending in 4321, ABA 021000021"),
        ("wrong account F-1001, DTC account 0161", "wrong account F-1001, DTC account 0161"),
        ("12345678901 unnamed", "[ACCOUNT] unnamed"),
        ("trade 12345678901, stamped 20261121093000", "trade 12345678901, stamped 20261121093000"),
        ("(123456789 SSN)", "([SSN] SSN)"),
        ("client's passport AB1234567 and driver's license AB1234567",
        "client's passport [PASSPORT] and driver's license [LICENSE]"),
        ("ES9121000418450200051332 5000 shares", "[IBAN] 5000 shares"),
        ("ES91 2100 0418 4502 0005 1332 from stock", "[IBAN] from stock"),
        ("IBAN ES92 2100 0418 4502 0005 1332 mistyped", "IBAN [IBAN] mistyped"),
        ("ES92 2100 0418 4502 0005 1332 is none", "ES92 2100 0418 4502 0005 1332 is none"),
        ("card 4111 1111 1111 1112 mistyped", "card [CARD] mistyped"),
        ("lot 4111 1111 1111 1112 is none", "lot 4111 1111 1111 1112 is none"),
        ("box/recall/borrow 500/300/2000, recall/box 100/50/2000",
        "box/recall/borrow 500/300/2000, recall/box 100/50/2000"),
        ("mail jsmith@bank, sold 5000@177.00", "mail [EMAIL], sold 5000@177.00"),
        ("john.smith [at] example [dot] com", "[EMAIL]"),
        ("DOB 12/1/1980, TD 12/1/2026", "DOB [DOB], TD 12/1/2026"),
        ("123-45-6789@example.com", "[EMAIL]"),
        ("000-00-0000 and 123-45-6789", "[SSN] and [SSN]"),
        ("ring 06 12 34 56 78, fax 020 7946 0018", "ring [PHONE], fax [PHONE]"),
        ("CNS +25000000, T+2 2026-11-21", "CNS +25000000, T+2 2026-11-21"),
        ("have 171.00 4580 left, 277.250 5000, 177.00\n5000",
        "have 171.00 4580 left, 277.250 5000, 177.00\n5000"),
        ("500\n25\n4000\n5000\n4000\n3000\n2000", "500\n25\n4000\n5000\n4000\n3000\n2000"),
        ("123.45.6789, 123-45\n6789, 415.555.2671", "[SSN], [SSN], [PHONE]"),
        ("due T+13\n7/28/2026, sold 5800 @ 177.00\n1-10-2026",
        "due T+13\n7/28/2026, sold 5800 @ 177.00\n1-10-2026"),
        ("short since the recall Client 110 04 3348", "short since the recall Client [SSN]"),
        ("recall of 500 25 4000, passport 000783981; 9757475 @ market",
        "recall of 500 25 4000, passport [PASSPORT]; 9757475 @ market"),
        ("TD 20261123 account worth 5,000", "TD 20261123 account worth 5,000"),
        ("settles 6/16/2026. passport AB1234567", "settles 6/16/2026. passport [PASSPORT]"),
        ("short of US5949181045\nDriver's License # D1234567",
        "short of US5949181045\nDriver's License # [LICENSE]"),
        ("shares in the box.. client (440606566 SSN)", "shares in the box.. client ([SSN] SSN)"),
        ("123456789 is his SSN, call TRX4155552671", "[SSN] is his SSN, call TRX4155552671"),
        ("phone 555-2671, box 500-2000", "phone [PHONE], box 500-2000"),
    ],
)  # fmt: skip
def test_what_stands_beside_a_number_decides(text: str, masked: str, guard: Guard) -> None:
    """The name right beside it, the unit behind it, the check digit in it; the longest form
    wins.
    """
    assert guard.mask(text).text == masked


@pytest.mark.parametrize(
    ("kind", "marked"),
    [(kind, text) for kind, texts in personal_data_attacks.MASKED.items() for text in texts],
)
def test_what_an_attacker_wrote_is_masked(kind: str, marked: str, guard: Guard) -> None:
    """Odd separators, names behind, glued names, capitals: whatever a name or a check digit
    proves.
    """
    given = marked.replace("<", "").replace(">", "")
    assert guard.mask(given).text == re.sub("<[^>]*>", f"[{kind}]", marked)


@pytest.mark.parametrize("text", personal_data_attacks.LEFT_ALONE)
def test_what_an_attacker_had_masked_is_left_alone(text: str, guard: Guard) -> None:
    assert guard.mask(text) == (text, ())


def test_kinds_are_told_once_each(guard: Guard) -> None:
    """In one fixed order; a placeholder that stood there already is not found again."""
    masked = guard.mask("a@b.com, 123-45-6789, c@d.com, 321-54-9876; [CARD]")
    assert masked == ("[EMAIL], [SSN], [EMAIL], [SSN]; [CARD]", ("EMAIL", "SSN"))


def test_a_reference_keeps_what_only_words_tell(guard: Guard) -> None:
    """In a `fail_id` only forms that prove themselves are masked: it names the line."""
    assert guard.mask_reference("F-123-45-6789").text == "F-[SSN]"
    assert guard.mask_reference("4111111111111111").text == "[CARD]"
    for kept in ("F-1001", "20261121-000123", "account 12345678", "12345678901234", "594918104"):
        assert guard.mask_reference(kept) == (kept, ())


_WORDS = "acct |SSN|call |CUSIP | and |-| |\n|.|(|@|+1|[SSN]|[ACCOUNT]|\u200b|&#49;|&| shares"
_NUMBERS = (
    "123-45-6789|12345678|594918104|4111 1111 1111 1111|(415)"
    " 555-2671|a@b.co|DE89370400440532013000|5000|T+13"
)
_PIECES = st.one_of(
    st.sampled_from(f"{_WORDS}|{_NUMBERS}".split("|")),
    st.text(alphabet="0123456789 -.@A\u0661\u2011", max_size=12),
)
TEXTS = st.lists(_PIECES, max_size=14).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_masking_twice_changes_nothing(text: str, guard: Guard) -> None:
    once = guard.mask(text)
    assert guard.mask(once.text) == (once.text, ())


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_nothing_outside_a_mask_changes(text: str, guard: Guard) -> None:
    """The masked text with its placeholders as gaps is a pattern of the text itself."""
    parts = re.split(
        r"\[(?:EMAIL|IBAN|CARD|ITIN|SSN|PHONE|PASSPORT|LICENSE|DOB|ACCOUNT)\]",
        guard.mask(text).text,
    )
    place = 0
    for part in parts[:-1]:
        place = text.index(part, place) + len(part)
    assert text.startswith(parts[0])
    assert text[place:].endswith(parts[-1])


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(
        alphabet=st.characters(
            exclude_categories=("Nd", "No", "Nl"), exclude_characters="@&%\uff20\ufe6b"
        )
    )
)
def test_text_without_digits_and_addresses_stays(text: str, guard: Guard) -> None:
    if not re.search(r"\bat\b", text, re.IGNORECASE):
        assert guard.mask(text) == (text, ())


def test_threads_mask_alike(guard: Guard) -> None:
    """One guard serves all threads of a run."""
    draw = random.Random(503)
    texts = [personal_data.planted(draw, kind).sentence for kind in KINDS * 20]
    alone = [guard.mask(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(guard.mask, texts)) == alone
