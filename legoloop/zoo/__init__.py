"""The data sets, models and losses that ship."""
