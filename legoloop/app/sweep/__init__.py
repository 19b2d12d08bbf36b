"""The jobs of a multirun: composed, checked, launched, summed up."""
