"""Check the installation, the models and the servers."""
