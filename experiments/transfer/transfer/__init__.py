"""What a network learnt from some digits helps it with others."""
