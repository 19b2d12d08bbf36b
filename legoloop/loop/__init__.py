"""The training loop: the host, its stages, plugins and their order."""
