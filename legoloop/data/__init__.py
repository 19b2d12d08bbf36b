"""Data sets, samplers, loaders and streams, collation."""
