"""From a configuration to a run: composing, checking, wiring, running."""
