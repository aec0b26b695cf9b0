"""Hold the sentences of an answer to the answer that the rules give.

`number_words` writes numbers in digits, `tokens` cuts a text into items, `clauses`, `segments` and
`labels` read its claims, `triage_truths` and `plan_truths` collect what an answer bears out, and
`check` compares the two.
"""
