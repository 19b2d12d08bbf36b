"""From the configuration to the container of one run."""
