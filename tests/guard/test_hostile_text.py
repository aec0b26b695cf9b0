"""Hostile text: the guard finds numbers behind invisible or unusual characters, and its time grows
with the length of the text.
"""

from __future__ import annotations

import time

import pytest

from finops_cli.domain import limits
from finops_cli.guard.detector import Guard


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("SSN 123\u200b-45-\u206067\ufeff89", "SSN [SSN]"),
        ("4\u20601\u200b11\u200c1111\u200d11111111", "[CARD]"),
        ("\uff11\uff12\uff13\uff0d\uff14\uff15\uff0d\uff16\uff17\uff18\uff19", "[SSN]"),
        ("\u0661\u0662\u0663-\u0664\u0665-\u0666\u0667\u0668\u0669", "[SSN]"),
        ("\u2460\u2461\u2462-\u2463\u2464-\u2465\u2466\u2467\u2468", "[SSN]"),
        ("\U0001d7cf\U0001d7d0\U0001d7d1-45-6789", "[SSN]"),
        (
            "123\u201145\u20116789 and 123\u201345\u20146789 and 123\u221245\u00ad6789",
            "[SSN] and [SSN] and [SSN]",
        ),
        ("4111\u00a01111\u20091111\u30001111", "[CARD]"),
        ("1\u03362\u03363\u0336-45-6789", "[SSN]"),
        ("123-45-\n6789", "[SSN]"),
        ("123-\r\n> 45-6789", "[SSN]"),
        ("4111 1111\n1111 1111", "[CARD]"),
        ("4111111\n111111111", "[CARD]"),
        ("4111-1111-11\n11-1111", "[CARD]"),
        ("(415)\n555-2671 or 415-5\n55-2671", "[PHONE] or [PHONE]"),
        ("DE89 3704 0044\n0532 0130 00", "[IBAN]"),
        ("acct 12345\n678", "acct [ACCOUNT]"),
        ("acct 12345678\n594918104 short", "acct [ACCOUNT]\n594918104 short"),
        ("SSN on file\n123456789", "SSN on file\n[SSN]"),
        ("jane.doe@\nexample.com", "[EMAIL]"),
        ("123&ndash;45&#8209;6789", "[SSN]"),
        ("&#49;23&hyphen;45&#x2d;6789", "[SSN]"),
        ("123&amp;#45;45&amp;amp;#45;6789", "[SSN]"),
        ("jane&commat;example&period;com", "[EMAIL]"),
        ("jane&#64;example.com, jane%40example.com", "[EMAIL], [EMAIL]"),
        ("&lt;jane@example.com&gt;", "&lt;[EMAIL]&gt;"),
        ("j\u00e9r\u00f4me@example.com, jane\uff20example.com", "[EMAIL], [EMAIL]"),
        ("1 2 3 - 4 5 - 6 7 8 9", "[SSN]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD]"),
        ("acct_12345678, SSN123456789, ph415-555-2671", "acct_[ACCOUNT], SSN[SSN], ph[PHONE]"),
        ("5000\u200b shares of 594\u200b918104", "5000\u200b shares of 594\u200b918104"),
        ("qty 5000\n4000\n3000", "qty 5000\n4000\n3000"),
        ("R&D; AT&T 5,000 &bogus; \ud800", "R&D; AT&T 5,000 &bogus; \ud800"),
        ("", ""),
    ],
)
def test_guard_reads_numbers_through_hidden_characters(
    text: str, masked: str, guard: Guard
) -> None:
    """The guard finds a number with invisible separators or other scripts' digits. Look-alikes stay
    unchanged.
    """
    assert guard.mask(text).text == masked


UNITS = (
    *(
        "1",
        "a@",
        "1.",
        "12-",
        "123-45-",
        "(1)",
        "A1",
        "\t \n",
        "\n1",
        "&#49;",
        "[SSN]",
        "123-45-6789 ",
        "4111 ",
        "DE89 ",
        "a@b.co ",
        "acct 12345678 ",
    ),
    *(
        " and 12345",
        "12345678901 ",
        "594918104 5,000 177.00 ",
        "+1 415 555 2671 ",
        "1\u200b",
        "acct 1234 5678 4111 ",
        "ssn 123456789 and ",
        "a-1-",
    ),
    *("at [at] ", "x@x.", '"a"@', "00 1 "),
    *(
        "4111,",
        "4111|",
        "1 . ",
        "a.bc @ ",
        "a.bc@d.\n",
        " AT a.b",
        "Monday, 3rd of ",
        "1-|",
        "DL 1",
        "DE89/",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_guard_masks_the_longest_text_within_10_seconds(unit: str, guard: Guard) -> None:
    """The guard masks a text of the greatest allowed length within ten seconds of
    processor time.
    """
    text = "acct " + (unit * limits.TEXT_CHARS)[: limits.TEXT_CHARS - 11] + "@x.com"
    began = time.process_time()
    guard.mask(text)
    assert time.process_time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "123-45-",
        "12-",
        "1 ",
        "a@",
        "DE89 ",
        "acct 12345678 ",
        "A1",
        "a-1-",
        "1.",
        "jan 1 ",
        "a.bc @ ",
        "a.bc.",
        "4111,",
        "1 . ",
    ],
)
def test_guard_time_grows_linearly_with_the_text(unit: str, guard: Guard) -> None:
    """The guard takes at most eight times as long for four times the text."""

    def seconds(chars: int) -> float:
        text = unit * (chars // len(unit))
        taken = []
        for _ in range(3):
            began = time.process_time()
            guard.mask(text)
            taken.append(time.process_time() - began)
        return min(taken)

    assert seconds(4 * 16_000) < 8 * max(seconds(16_000), 0.01)
