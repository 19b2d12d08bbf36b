"""What a run leaves behind: scalars, predictions, weights, progress."""
