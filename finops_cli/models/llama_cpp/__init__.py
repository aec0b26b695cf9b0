"""Language models in llama.cpp without a server: one process of its own for each model, several
answers decoded in one batch.
"""
