"""Searches: sweeps whose jobs are chosen one after the other, by what came of those before."""
