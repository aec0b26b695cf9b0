"""The plan of a training run, made before it starts."""
