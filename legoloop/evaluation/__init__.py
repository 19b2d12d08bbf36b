"""Accumulators, passes over loaders and loops, metrics."""
