"""Personal data and look-alikes from tables (`personal_data_unseen.toml`) with labels in five
languages, separators, formats, sentences and disguises.

The guard was developed with the tables of `DEVELOPED`; those of `measure` only measure it. They
were written when the guard was almost finished and before it was measured with them.
"""

from __future__ import annotations

import html
import re
import string
import tomllib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from finops_cli.guard.desk_tokens import luhn
from tests.support import look_alikes, personal_data
from tests.support.personal_data import Draw, Planted, digits, fill

Half = Literal["develop", "develop_too", "develop_third", "measure"]
DEVELOPED: Final[tuple[Half, ...]] = ("develop", "develop_too", "develop_third")
KINDS: Final = tuple(personal_data.PLANTED)
LABELLED: Final = 0.65
"""The proportion of labelled pieces among those that their own form proves."""
DISGUISED: Final = 0.35
_PROVEN = {
    "SSN": r"###([-./])##\1####|### ## ####",
    "ITIN": r"9##([-./])[5-9]#\1####|9## [5-9]# ####",
    "CARD": r"[# -]+|####(?:\.####){3}|##(?:[-.]##){7}",
    "PHONE": r"\+.*|0033.*|\(?\^##\)?[- .]\^##[-.]####|0[1-9]([ .-])##(?:\1##){3}",
}
"""Formats that need no label; IBANs and e-mail addresses never need one."""
_MONTHS = {
    "MONTH": "January February March April May June July August September October November"
    " December",
    "MON": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "MONAT": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "MOIS": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "MES": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    "MESE": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
}


@cache
def tables(half: Half) -> dict[str, Any]:
    """Read one half of the tables."""
    path = Path(__file__).with_suffix(".toml")
    half_tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))[half]
    return half_tables


def planted(draw: Draw, half: Half, kind: str) -> Planted:
    """Make a sentence with one piece of `kind`."""
    table = tables(half)
    shape, what = _piece(draw, half, kind)
    proven = kind in ("IBAN", "EMAIL") or re.fullmatch(_PROVEN.get(kind, "(?!)"), shape)
    labelled = not proven or draw.random() < LABELLED
    label = draw.choice(table["labels"][kind]) if labelled else ""
    if labelled:
        linker = draw.choice(table["pools"]["linkers"])
        label += " " if label.endswith((" to", " unter", " le", " al", "(b. ")) else linker
    how = draw.choice(table["pools"]["disguises"]) if draw.random() < DISGUISED else ""
    label, what = _disguise(draw, how, label, what)
    pools = table["pools"]
    left = draw.choice(pools["lefts"]) if draw.random() < 0.7 else ""
    right = draw.choice(pools["rights"]) if draw.random() < 0.7 else ""
    if "(" in left + label and ")" not in right:
        right = f"){right}"
    return Planted(kind, what, f"{left}{label}{what}{right}")


def is_leaked(piece: Planted, masked: str) -> bool:
    """Return true if four characters in a row of the piece, one of them a digit, are in the
    masked text; of an e-mail address any four.
    """
    rest = [_squeeze(part) for part in piece.sentence.split(piece.what)]
    seen = [_squeeze(part) for part in re.split(r"\[[A-Z]+\]", masked)]
    what = _squeeze(piece.what)
    grams = {what[at : at + 4] for at in range(max(1, len(what) - 3))}
    telling = {gram for gram in grams if piece.kind == "EMAIL" or re.search("[0-9]", gram)}
    return any(
        gram in part for gram in telling for part in seen if not any(gram in one for one in rest)
    )


def look_alike(draw: Draw, half: Half, what: str) -> str:
    """Make a sentence that holds numbers of the desk only."""
    template = draw.choice(tables(half)["look_alikes"][what])
    return re.sub(r"\{(\w+)\}", lambda slot: _desk_number(draw, slot[1]), template)


def _squeeze(text: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(re.sub("%([0-9A-F]{2})", _percent, text)))
    return "".join(
        str(unicodedata.decimal(sign)) if sign.isdecimal() else sign
        for sign in text.lower()
        if sign.isalnum()
    )


def _percent(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _piece(draw: Draw, half: Half, kind: str) -> tuple[str, str]:
    """Make a piece of personal data; return its format and the piece."""
    formats = tables(half)["formats"]
    if kind == "CARD":
        length = draw.choice((15, 16, 16))
        shape = draw.choice(formats[f"CARD{length}"])
        return shape, _spread(shape, _card(draw, length))
    if kind == "IBAN":
        shape = draw.choice(formats[kind])
        return shape, _spread_iban(shape, draw)
    if kind == "PHONE":
        shape = draw.choice(formats[f"PHONE_{draw.choice(('US', 'US', 'UK', 'FR', 'DE', 'XX'))}"])
        return shape, fill(draw, shape)
    shape = draw.choice(formats[kind])
    if kind == "EMAIL":
        return shape, _address(draw, half, shape)
    if kind == "DOB":
        return shape, _birth(draw, shape)
    if kind == "SSN":
        return shape, _spread(shape, personal_data.ssn_bare(draw))
    return shape, fill(draw, shape)


def _card(draw: Draw, length: int) -> str:
    stem = draw.choice(("34", "37") if length == 15 else ("4", "51", "55", "2300", "6011", "3530"))
    body = stem + digits(draw, length - len(stem) - 1)
    return body + next(last for last in string.digits if luhn(body + last))


def _spread(shape: str, number: str) -> str:
    signs = iter(number)
    return "".join(next(signs) if sign == "#" else sign for sign in shape)


def _spread_iban(shape: str, draw: Draw) -> str:
    whole = personal_data.iban(draw).replace(" ", "")
    if shape.startswith("lower"):
        whole, shape = whole.lower(), shape.removeprefix("lower")
    size = int(shape[0]) if shape[0].isdigit() else len(whole)
    mark = shape[1:]
    return mark.join(whole[at : at + size] for at in range(0, len(whole), size))


def _address(draw: Draw, half: Half, shape: str) -> str:
    pools = tables(half)["pools"]
    parts = {
        "F": draw.choice(pools["first"]),
        "L": draw.choice(pools["last"]),
        "D": draw.choice(pools["host"]),
        "T": draw.choice(pools["tld"]),
    }
    parts |= {f"{key}UP": value.upper() for key, value in parts.items()}
    made = re.sub(r"(?<![A-Z])([FLDT](?:UP)?)(?=[^A-Z]|L|UP|$)", lambda k: parts[k[1]], shape)
    return re.sub("##", lambda _: digits(draw, 2), made)


def _birth(draw: Draw, shape: str) -> str:
    year, month, day = draw.randrange(1940, 2006), draw.randrange(1, 13), draw.randrange(1, 29)
    parts = {name: names.split()[month - 1] for name, names in _MONTHS.items()}
    parts |= {"MON": parts["MON"].upper() if "DDMON" in shape else parts["MON"]}
    parts |= {"YYMMDD": f"{year}{month:02}{day:02}", "DDMMY": f"{day:02}{month:02}{year}"}
    parts |= {"Y": str(year), "y": f"{year % 100:02}", "MM": f"{month:02}", "DD": f"{day:02}"}
    parts |= {"M": str(month), "D": str(day)}
    keys = "|".join(sorted(parts, key=len, reverse=True))
    return re.sub(keys, lambda found: parts[found[0]], shape)


_DIGITS = {
    "fullwidth": "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
    "arabic": "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
}
_BLANKS = {"nbsp": "\u00a0", "thinspace": "\u2009", "tab": "\t", "doubleblank": "  "}


def _disguise(draw: Draw, how: str, label: str, what: str) -> tuple[str, str]:
    """Write a label and a piece in a way that hides them from a plain search."""
    if how in _DIGITS:
        return label, what.translate(dict(zip(map(ord, string.digits), _DIGITS[how], strict=True)))
    if how in _BLANKS:
        return label.replace(" ", _BLANKS[how]), what.replace(" ", _BLANKS[how])
    if how in ("upper", "lower"):
        return (label.upper(), what) if how == "upper" else (label.lower(), what)
    marks = [at for at, sign in enumerate(what) if not sign.isalnum()]
    at = draw.choice(marks) if marks else len(what) // 2
    if how == "entity":
        return label, f"{what[:at]}&#{ord(what[at])};{what[at + 1 :]}"
    if how == "entity_all":
        return label, "".join(f"&#x{ord(s):x};" if s.isdigit() else s for s in what)
    if how in ("zerowidth", "softhyphen"):
        return label, what[:at] + ("\u200b" if how == "zerowidth" else "\u00ad") + what[at:]
    if how == "break" and what[at] in " -":
        return label, what[: at + 1].rstrip(" ") + "\n" + what[at + 1 :]
    if how == "endash":
        return label, what.replace("-", "\u2013")
    if how == "percent":
        return label, what.replace("-", "%2D").replace("@", "%40")
    return label, what


def _desk_number(draw: Draw, slot: str) -> str:
    if slot in ("cusip", "isin"):
        return look_alikes.a_cusip(draw) if slot == "cusip" else look_alikes.an_isin(draw)
    if slot in ("px", "date"):
        return look_alikes.price(draw).strip("$") if slot == "px" else look_alikes.date(draw)
    if slot == "qty":
        return look_alikes.shares(draw)
    count = int(slot[1:])
    if slot[0] == "u":
        return "".join(draw.choices(string.ascii_uppercase, k=count))
    first = draw.choice("123456789") if slot[0] in "dn" else ""
    return first + digits(draw, count - 1)
