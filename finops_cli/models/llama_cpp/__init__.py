"""Language models in llama.cpp without a server.

Each model has its own process, which decodes several answers in one batch.
"""
