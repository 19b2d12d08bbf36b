"""Step, schedules, epochs, counter, limits, early stopping, averaging, freezing."""
