"""Attacks on the guard: personal data in forms that were missed once, and look-alikes that were
masked once. `<...>` marks what must be masked.
"""

from __future__ import annotations

from typing import Any

MASKED: dict[str, tuple[str, ...]] = {
    "SSN": (
        "SSN <123 456 789>",
        "SSN: <123,45,6789>",
        "SSN <123%2D45%2D6789>",
        "SSN <123-45-|6789>",
        "<123456789> SSN, short 500",
    ),
    "ITIN": ("<912701234> ITIN", "<912701234> ITIN. Short since."),
    "CARD": (
        *(
            "<4111 1111 11111111>",
            "<4111/1111/1111/1111>",
            "<4111,1111,1111,1111>",
            "card <4111 1111|1111 1111> read out",
        ),
        *("$<4111111111111111>", "<4111111111111111> USD", "<4111111111111111> shares"),
    ),
    "EMAIL": (
        *(
            "<jane.doe @ custody.bank>",
            "<jane.doe@ custody.bank>",
            "<jane.doe AT custody.bank>",
            "<jane.doe@[10.0.0.1]>",
        ),
        *("<jane.doe@custody.\nbank>", "email <jane @ custody.bank>", "see <12345@bank.com>"),
    ),
    "PHONE": (
        "call him on <5552671>",
        "cell <415.5552671>",
        "ph: <415 . 555 . 2671>",
        "call <5552671>",
        "phoneNumber: <4155552671>",
    ),
    "IBAN": (
        "IBAN<DE89370400440532013000>",
        "<DE89/3704/0044/0532/0130/00>",
        "<DE89_3704_0044_0532_0130_00>",
    ),
    "ACCOUNT": (
        *(
            "acctNo:<12345678>",
            "AccountNumber: <12345678>",
            "account number: <1 2 3 4 5 6 7 8>",
            "checking: <12345678>",
        ),
        *("checking account <12345678>", "checking <12345678>", "savings <12345678>"),
    ),
    "PASSPORT": ("passport no. <C01X00T47>", "passport <12AB34567>", "passport # <12 345 6789>"),
    "LICENSE": (
        "DL <D1234567>",
        "DL: <12345678>",
        "licence number <D1234567>",
        "driver's license: <123 456 789>",
    ),
    "DOB": (
        *(
            "DOB <19610312>",
            "born <3rd of March 1961>",
            "born <Thursday, March 3, 1961>",
            "DOB <1961 March 3>",
        ),
        *("birth date: <03 12 1961>", "DOB <12/1/'80>", "DoB<12/1/1980>"),
    ),
}
LEFT_ALONE = (
    *(
        "par 1000000000",
        "face 1000000000",
        "notional 2500000000",
        "PV 12345678901",
        "checking 1200000 against box",
    ),
    *(
        "savings bond 12345678",
        "Account of MSFT 12000000",
        "account has 12345678 to deliver",
        "buy 5000@limit.now",
    ),
    *(
        "the issue was born on 12/1/2026",
        "account 1,234,567",
        "margin call 1234567",
        "lender called 1234567",
        "call for 2500000",
    ),
    *(
        "sold MSFT @ market.now",
        "BRK.B @ limit.now",
        "DL 5000",
        "4000/5000/2500/3000",
        "4000,5000,2000,3006 and 4000, 5000, 2000, 3005",
    ),
    *(
        "CUSIP 594918104 SSN missing",
        "settles Thursday, March 3, 2026",
        "call at 171.0025",
        "12345678 account, closed",
        "2.5|3|4000|500",
    ),
)
"""`account 1,234,567` is how a quantity is written, and nothing tells the two apart."""
KEYS: tuple[tuple[Any, Any], ...] = (
    ({"clientSSN": 123456789}, {"clientSSN": "[SSN]"}),
    ({"accountNumber": "12345678"}, {"accountNumber": "[ACCOUNT]"}),
    ({"taxId": 123456789}, {"taxId": "[SSN]"}),
    ({"dateOfBirth": "12/1/1980"}, {"dateOfBirth": "[DOB]"}),
    ({"passportNo": "AB1234567"}, {"passportNo": "[PASSPORT]"}),
    ({"driversLicense": "D1234567"}, {"driversLicense": "[LICENSE]"}),
    ({"phoneNumber": 4155552671}, {"phoneNumber": "[PHONE]"}),
    ({"date_of_birth": "1980-12-01"}, {"date_of_birth": "[DOB]"}),
    ({"birth_date": "1980-12-01"}, {"birth_date": "[DOB]"}),
    ({"drivers_license": "D1234567"}, {"drivers_license": "[LICENSE]"}),
    ({"ssn": {"value": 123456789}}, {"ssn": {"value": "[SSN]"}}),
    ({"account": {"no": 12345678}}, {"account": {"no": "[ACCOUNT]"}}),
    ({"accounts": [{"number": 12345678}]}, {"accounts": [{"number": "[ACCOUNT]"}]}),
    ({"acct 12345678": {"ssn": 123456789}}, {"acct [ACCOUNT]": {"ssn": "[SSN]"}}),
    (
        {"account": {"qty": 12345678, "cusip": "594918104"}},
        {"account": {"qty": 12345678, "cusip": "594918104"}},
    ),
    (
        {"trade": {"tradeDate": "2026-11-20", "netAmount": 12345678}},
        {"trade": {"tradeDate": "2026-11-20", "netAmount": 12345678}},
    ),
)
