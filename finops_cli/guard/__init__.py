"""Masks personal data in text that a person wrote, before a prompt, a log or an output holds it
(kb: `guard.*`).

The steps: `normalise` spells the text in one way; `patterns` propose places through the recognisers
of `presidio`; `desk_tokens` finds numbers of the desk, which stay; `context_words` judges a number
by the words around it; `overlaps` chooses which candidates are masked.
"""
