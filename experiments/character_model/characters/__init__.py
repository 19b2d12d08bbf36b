"""A language model of single characters, trained on the lines of a text."""
