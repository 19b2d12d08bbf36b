"""Writers of predictions, and of what is read from them: confusion matrix, worst errors."""
