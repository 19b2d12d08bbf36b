"""Sine waves, continued by a recurrent network that LBFGS trains."""
