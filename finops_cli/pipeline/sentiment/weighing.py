"""The sentiment of a text from its parts, each weighted by its words."""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.domain.sentiment import LABELS, Label, Sentiment, scores_of, sentiment_of


def weigh(parts: Sequence[tuple[str, Sentiment | None]]) -> Sentiment | None:
    """Return the mean of the scores of `parts`, weighted by their words.

    Parts without a sentiment do not count; without any the result is None. Where a part has a
    label without scores, the label with the most words wins and the confidence is unknown.
    """
    known = [(len(text.split()) or 1, found) for text, found in parts if found is not None]
    if len(known) == 1:
        return known[0][1]
    if not known:
        return None
    totals: dict[Label, float] = dict.fromkeys(LABELS, 0.0)
    has_scores = True
    for words, found in known:
        if found.scores is None:
            has_scores = False
            totals[found.label] += words
        else:
            for label in LABELS:
                totals[label] += words * float(getattr(found.scores, label))
    weighted = sentiment_of(scores_of(totals))
    if has_scores:
        return weighted
    return Sentiment(label=weighted.label, confidence=None, scores=None)
