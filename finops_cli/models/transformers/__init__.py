"""Language models in local folders, as transformers and PEFT save them.

Each model has its own process, which speaks the messages of `models.llama_cpp`.
"""
