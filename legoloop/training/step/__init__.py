"""What one optimisation step is made of: feed, precision, loss, backward, guard, optimizer."""
