"""What a run knows of itself: checkpoints and its record."""
