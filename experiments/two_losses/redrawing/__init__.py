"""A network that names a digit and draws it again."""
