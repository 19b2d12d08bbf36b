"""Learning rate schedules, and the plugins that move them."""
