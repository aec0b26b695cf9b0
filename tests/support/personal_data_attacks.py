"""Attacks on the guard: personal data in forms that were missed once, and look-alikes that were
masked once. `<...>` marks what must be masked.
"""

from __future__ import annotations

from typing import Any

MASKED: dict[str, tuple[str, ...]] = {
    "SSN": (
        "SSN <123 456 789>",
        "SSN: <123,45,6789>",
        "SSN <１２３ー４５ー６７８９>",
        "SSN <123%2D45%2D6789>",
        "SSN <123-45-|6789>",
        "<123456789> SSN, short 500",
        *("SSN <119:36:6413>", "soc. sec. no <119 36 6413>", "ssn<605896319>"),
        *("taxpayer ident. no. <119*36*6413>", "Sozialversicherungs-Nr. <119;36;6413>"),
    ),
    "ITIN": (
        *("ITIN <912:70:1234>", "Steuer-IdNr. <912~70~1234>"),
        *("<912701234> ITIN", "<912701234> ITIN. Short since."),
    ),
    "CARD": (
        *(
            "<4111 1111 11111111>",
            "<4111/1111/1111/1111>",
            "<4111,1111,1111,1111>",
            "card <4111 1111|1111 1111> read out",
        ),
        *("<41 11 11 11 11 11 11 11>", "<37828 22463 10005>", "Kreditkarte <4111;1111;1111;1111>"),
        *("$<4111111111111111>", "<4111111111111111> USD", "<4111111111111111> shares"),
    ),
    "EMAIL": (
        *(
            "<jane.doe @ custody.bank>",
            "<jane.doe@ custody.bank>",
            "<jane.doe AT custody.bank>",
            "<jane.doe@[10.0.0.1]>",
        ),
        *("<jane . doe @ custody . com>", "<jane at custody dot com>"),
        *("<jane (at) custody dot com>", "jun <j -at- custody.com>"),
        *("courriel : <jane @ custody . bank>", "<jane.doe at custody.com>"),
        *("<jane.doe@custody.\nbank>", "email <jane @ custody.bank>", "see <12345@bank.com>"),
    ),
    "PHONE": (
        "call him on <5552671>",
        "cell <415.5552671>",
        "ph: <415 . 555 . 2671>",
        "call <5552671>",
        "phoneNumber: <4155552671>",
        *("<01 23 45 67 89>", "<06.12.34.56.78>", "Tfno. <612 34 56 78>", "tel <415:555:2671>"),
        *("Handy-Nr. <0171/1234567>", "cellulare <(0)171 5113127>"),
    ),
    "IBAN": (
        "IBAN<DE89370400440532013000>",
        "<DE89/3704/0044/0532/0130/00>",
        "<DE89_3704_0044_0532_0130_00>",
        *("<DE8 937 040 044 053 201 300 0>", "<DE89:3704:0044:0532:0130:00>"),
    ),
    "ACCOUNT": (
        *(
            "acctNo:<12345678>",
            *("Kontonummer <12345678>", "acnt <12345678>", "n° de compte: <12 345 678>"),
            *("nº de cuenta <1234-5678>", "c/c n. <AB/1234567>", "account, <A12-345678>"),
            "AccountNumber: <12345678>",
            "account number: <1 2 3 4 5 6 7 8>",
            "checking: <12345678>",
        ),
        *("checking account <12345678>", "checking <12345678>", "savings <12345678>"),
    ),
    "PASSPORT": (
        *("travel document <C01234567>", "Reisepass-Nr. <C01X00T47>", "passeport <12-AB-34567>"),
        *("trav. doc. on record: <AB 123 4567>", "pasaporte n.º <A-1234567>"),
        *("state ID <X0324563>", "state-issued ID: <123456789>", "DNI <12345678Z>"),
        *("NIE <X1234567L>", "National Insurance no <AB123456C>", "green card <A12345678>"),
        "passport no. <C01X00T47>",
        "passport <12AB34567>",
        "passport # <12 345 6789>",
    ),
    "LICENSE": (
        *("DLN: <D8746288>", "drivers lic <D8746288>", "Führersch. <D.874.628.801>"),
        *("permis de cond. <D874 6288 012>", "CDL was shown by client: <D8746288>"),
        "DL <D1234567>",
        "DL: <12345678>",
        "licence number <D1234567>",
        "driver's license: <123 456 789>",
    ),
    "DOB": (
        *(
            "DOB <19610312>",
            *("(b. <6/20/1998>)", "né le <3 mars 1961>", "Geb.-Datum: <03.12.1961>"),
            *("fecha de nacimiento: <3 de mayo de 1961>", "DOB per client <12:03:1961>"),
            "born <3rd of March 1961>",
            "born <Thursday, March 3, 1961>",
            "DOB <1961 March 3>",
        ),
        *("birth date: <03 12 1961>", "DOB <12/1/'80>", "DoB<12/1/1980>"),
    ),
}
LEFT_ALONE = (
    *("orders 41111111, 11111111", "trades 41111111 / 11111111", "call 8741566 back from loan"),
    *("MSFT @ limit . now", "look at bank.com", "passport seen. Order 12345678 cxl"),
    *("date de négociation 2026-11-20", "account closed. 12345678 short", "T: 5,000 shares"),
    *("Auftrag 12345678", "Kurs 1234.5678", "account price 1234.567"),
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
