"""Points on spirals: a data set, a model and a plugin. Nothing here knows who will train with it."""
