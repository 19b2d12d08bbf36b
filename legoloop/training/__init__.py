"""Feed, descent, epochs, counter, stopping, schedules."""
