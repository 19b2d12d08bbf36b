"""What a training loop is. Knows nothing of data, models or files."""
