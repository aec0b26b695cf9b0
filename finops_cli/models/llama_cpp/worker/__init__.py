"""The process of one model: `python -m finops_cli.models.llama_cpp.worker`.

No other module imports llama.cpp or numpy.
"""
