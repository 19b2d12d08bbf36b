"""The configuration as a value: settings, bound components, checks."""
