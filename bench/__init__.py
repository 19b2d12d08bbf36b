"""What legoloop costs: ``python -m bench``, and ``docs/performance.md`` explains the tables."""
