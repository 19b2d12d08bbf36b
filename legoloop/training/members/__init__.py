"""Training several runs of one network as one program: a row of a matrix each."""
