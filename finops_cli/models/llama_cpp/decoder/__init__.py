"""The process of one model: `python -m finops_cli.models.llama_cpp.decoder`.

Nothing else imports llama.cpp or numpy.
"""
