"""Learning rate schedules, the plugins that step them, and their plot."""
