"""The process of one model: `python -m finops_cli.models.transformers.worker`.

No other module imports torch or transformers.
"""
