"""Masking: the guard replaces personal data and leaves the desk's own numbers unchanged (kb:
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


def has_leak(planted: personal_data.Planted, text: str) -> bool:
    """Return whether `text` still has the number, or four of its characters in a row with a digit
    among them.
    """
    parts = re.findall(r"[A-Za-z0-9]{4,}", planted.what)
    return planted.what in text or any(part in text for part in parts if re.search("[0-9]", part))


@pytest.mark.slow
def test_guard_masks_500_planted_pieces_of_personal_data(guard: Guard) -> None:
    """Each of 500 planted pieces, of ten kinds, is replaced by its placeholder, and nothing else in
    the sentence changes.
    """
    draw = random.Random(500)
    assert len(KINDS) == 10
    for number in range(COUNT):
        planted = personal_data.planted(draw, KINDS[number % len(KINDS)])
        masked = guard.mask(planted.sentence)
        assert not has_leak(planted, masked.text), (planted, masked)
        assert masked.text == planted.sentence.replace(planted.what, f"[{planted.kind}]"), (
            planted,
            masked,
        )
        assert masked.kinds == (planted.kind,)


@pytest.mark.slow
def test_guard_leaves_500_look_alikes_unchanged(guard: Guard) -> None:
    """CUSIPs, ISINs, DTC numbers, quantities, prices, dates, references and rates stay, also beside
    words such as account and call.
    """
    draw = random.Random(501)
    kinds = list(look_alikes.LOOK_ALIKES)
    for number in range(COUNT):
        sentence = look_alikes.look_alike(draw, kinds[number % len(kinds)])
        assert guard.mask(sentence) == (sentence, ())


@pytest.mark.slow
def test_guard_errs_on_one_held_out_sentence_in_200(guard: Guard) -> None:
    """On sentences of an independent generator the guard misses at most one planted piece in 200
    and masks at most one look-alike in 200.
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
    assert (
        sum(has_leak(one, guard.mask(one.sentence).text) for one in planted) <= len(planted) // 200
    )
    assert sum(guard.mask(sentence).text != sentence for sentence in alike) <= len(alike) // 200


@pytest.mark.slow
def test_guard_masks_notes_with_mixed_clauses(guard: Guard) -> None:
    """In notes that mix personal data and look-alikes no planted piece survives. At most one note
    in 100 is masked otherwise than expected.
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
def test_guard_decides_by_the_words_beside_a_number(text: str, masked: str, guard: Guard) -> None:
    """The word before a number, the unit after it and its check digit decide whether it is masked.
    The longest match wins.
    """
    assert guard.mask(text).text == masked


@pytest.mark.parametrize(
    ("kind", "marked_text"),
    [(kind, text) for kind, texts in personal_data_attacks.MASKED.items() for text in texts],
)
def test_guard_masks_disguised_personal_data(kind: str, marked_text: str, guard: Guard) -> None:
    """Personal data with odd separators, trailing labels, joined labels or capitals is masked where
    a label or check digit proves it.
    """
    given = marked_text.replace("<", "").replace(">", "")
    assert guard.mask(given).text == re.sub("<[^>]*>", f"[{kind}]", marked_text)


@pytest.mark.parametrize("text", personal_data_attacks.LEFT_ALONE)
def test_guard_leaves_disguised_look_alikes_unchanged(text: str, guard: Guard) -> None:
    """A text that resembles personal data but is not proven by a label or a check digit stays
    unchanged.
    """
    assert guard.mask(text) == (text, ())


def test_guard_lists_each_masked_kind_once(guard: Guard) -> None:
    """The result lists each masked kind once, in a fixed order. A placeholder that was already in
    the text is not counted.
    """
    masked = guard.mask("a@b.com, 123-45-6789, c@d.com, 321-54-9876; [CARD]")
    assert masked == ("[EMAIL], [SSN], [EMAIL], [SSN]; [CARD]", ("EMAIL", "SSN"))


@pytest.mark.parametrize(
    ("given", "masked"),
    [
        ("F-123-45-6789", "F-[SSN]"),
        ("4111111111111111", "[CARD]"),
        ("JSMITH 123 45 6789", "JSMITH [SSN]"),
        ("SSN123456789", "SSN[SSN]"),
        ("ssn605896319", "ssn[SSN]"),
        ("acct 12345678", "acct [ACCOUNT]"),
        ("Kontonummer-12345678", "Kontonummer-[ACCOUNT]"),
        ("DOB 6/20/1998", "DOB [DOB]"),
        ("passport:C01234567", "passport:[PASSPORT]"),
        ("+44 20 7946 0958", "[PHONE]"),
        ("jane @ bank.com", "[EMAIL]"),
    ],
)
def test_guard_masks_personal_data_in_a_fail_id(given: str, masked: str, guard: Guard) -> None:
    """In a `fail_id` a number is masked if its format proves it, or a name right before it."""
    assert guard.mask_reference(given).text == masked


def test_guard_keeps_the_numbers_of_a_fail_id(guard: Guard) -> None:
    """Other numbers of a `fail_id` stay, because the `fail_id` identifies the line."""
    for kept in (
        *("F-1001", "20261121-000123", "12345678901234", "594918104", "DL-1001", "T:5550123"),
        *("TRX1234567890", "INC0012345", "acct-team-77", "ticket 123456789", "US5949181045"),
    ):
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


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_guard_mask_of_a_masked_text_changes_nothing(text: str, guard: Guard) -> None:
    """Masking a masked text again leaves it unchanged and reports no kinds."""
    once = guard.mask(text)
    assert guard.mask(once.text) == (once.text, ())


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_guard_changes_nothing_outside_the_placeholders(text: str, guard: Guard) -> None:
    """The text between the placeholders is the original text, in the original order."""
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
def test_guard_leaves_text_without_digits_unchanged(text: str, guard: Guard) -> None:
    """A text without digits, an at sign or the word "at" stays unchanged."""
    if not re.search(r"\bat\b", text, re.IGNORECASE):
        assert guard.mask(text) == (text, ())


def test_guard_masks_alike_in_several_threads(guard: Guard) -> None:
    """One guard that several threads share masks each text as it does in one thread."""
    draw = random.Random(503)
    texts = [personal_data.planted(draw, kind).sentence for kind in KINDS * 20]
    alone = [guard.mask(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(guard.mask, texts)) == alone
