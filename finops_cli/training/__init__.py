"""Train a model on generated rows: recipe, inspection, training run, and the record of the run.

Modules that import torch are imported only when they are needed.
"""
