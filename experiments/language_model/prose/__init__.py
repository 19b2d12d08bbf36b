"""A language model of words, trained on a running text."""
