"""Masks personal data in the text that a person wrote, before a prompt, a log or a raw capture sees
it (kb: `guard.*`).

reading (what a text says, with the way back to its letters) -> forms (ways of writing, found by
recognisers) -> desk tokens and names (what stays, and what a number is called) -> choosing (what is
masked) -> guard and records.
"""
