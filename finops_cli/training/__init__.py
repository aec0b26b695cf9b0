"""Makes a model of generated rows: recipe, survey, preflight, training, and the record of it.

Modules that import torch are imported late.
"""
