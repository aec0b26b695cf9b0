"""The process of one model: `python -m finops_cli.models.llama_cpp.worker`.

Nothing else imports llama.cpp or numpy.
"""
