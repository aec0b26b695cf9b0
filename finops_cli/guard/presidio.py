"""Presidio's recognisers, one for each form, with the desk's patterns and scores and Presidio's
check digits. Only `open_guard` imports this module.

Presidio ends a search after one minute and goes on without its result. Its own patterns miss line
ends, IBANs before a word of four letters, and addresses of some domains, so finops brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from presidio_analyzer import Pattern as PresidioPattern
from presidio_analyzer import PatternRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, IbanRecognizer

from finops_cli.guard.pattern import Pattern

_WITHOUT_SEPARATORS = str.maketrans("", "", "-./,_|:;*~\\+= \n")
_ISSUED = re.compile(
    r"4[0-9]{15}(?:[0-9]{3})?|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]"
    r"|720)[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}(?:[0-9]{3})?"
    r"|35[0-9]{14}|62[0-9]{14,17}|(?:50|5[6-9]|6[0-9])[0-9]{14,17}"
)
"""Which numbers the networks give out: Visa, Mastercard, American Express, Diners, Discover, JCB,
UnionPay, Maestro; of the lengths in use, not Visa's 13 digits of old nor Maestro's 12 to 15, which
quantities and times have too.
"""

_SHORTEST_IBAN = len("NO9386011117947")


class Shape(PatternRecognizer):
    """A form that its pattern alone proves."""

    def __init__(self, form: Pattern, score: float, **settings: object) -> None:
        patterns = [PresidioPattern(form.name, pattern, score) for pattern in form.regexes]
        super().__init__(supported_entity=form.kind, name=form.name, patterns=patterns, **settings)
        self.form, self.score = form, score
        self._searches = [re.compile(pattern, re.IGNORECASE) for pattern in form.regexes]

    def analyze(
        self,
        text: str,
        entities: list[str],
        nlp_artifacts: NlpArtifacts | None = None,
        regex_flags: int | None = None,
    ) -> list[RecognizerResult]:
        """Find every place of the form whose check digits are right."""
        spans = (span for search in self._searches for span in self._spans(search, text))
        told = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return [
            RecognizerResult(self.form.kind, start, end, self.score, recognition_metadata=told)
            for start, end in spans
        ]

    def _spans(self, search: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
        place = 0
        while (match := search.search(text, place)) is not None:
            ends = (
                end
                for end in self._ends(text, match)
                if self.validate_result(text[match.start() : end]) is not False
            )
            end = next(ends, None)
            if end is not None:
                yield match.start(), end
            place = end or match.start() + 1

    def _ends(self, text: str, match: re.Match[str]) -> Iterator[int]:
        yield match.end()


class Card(Shape, CreditCardRecognizer):
    """A card number of a known network with the right check digit, on at most two lines; quantities
    are often listed one below the other.
    """

    def __init__(self, form: Pattern, score: float) -> None:
        super().__init__(form, score)

    def validate_result(self, pattern_text: str) -> bool:
        digits = pattern_text.translate(_WITHOUT_SEPARATORS)
        together = pattern_text.count("\n") <= 1
        return (
            together
            and _ISSUED.fullmatch(digits) is not None
            and bool(CreditCardRecognizer.validate_result(self, digits))
        )


class Iban(Shape, IbanRecognizer):
    """An IBAN of a country that uses them, with the right check digits, whatever word follows."""

    def __init__(self, form: Pattern, score: float) -> None:
        super().__init__(form, score, exact_match=True)

    def validate_result(self, pattern_text: str) -> bool:
        return bool(
            IbanRecognizer.validate_result(
                self, pattern_text.translate(_WITHOUT_SEPARATORS).upper()
            )
        )

    def _ends(self, text: str, match: re.Match[str]) -> Iterator[int]:
        ends = range(match.end(), match.start() + _SHORTEST_IBAN - 1, -1)
        return (
            end for end in ends if text[end - 1].isalnum() and not text[end : end + 1].isalnum()
        )


def recogniser(form: Pattern, score: float) -> Shape:
    """Make the recogniser of `form`."""
    return {"card": Card, "iban": Iban}.get(form.name, Shape)(form, score)
