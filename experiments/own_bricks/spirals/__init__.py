"""Points on spirals: a data set, a model and a plugin, made without the framework's help."""
