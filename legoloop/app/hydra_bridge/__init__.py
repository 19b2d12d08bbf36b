"""Everything that touches Hydra."""
