"""Points on spirals: a data set, a model and a plugin, in plain Python, numpy and torch."""
