"""Data sets, models and losses that ship with the package."""
