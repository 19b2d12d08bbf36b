"""The configuration groups, as the package ``legoloop.conf``."""
