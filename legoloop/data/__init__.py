"""Data sets, seeded order, loaders and loops, collation, batch size."""
