"""What a configuration would run, shown without running it."""
