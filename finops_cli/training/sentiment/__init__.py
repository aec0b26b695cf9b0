"""Train and calibrate classifiers of texts."""
