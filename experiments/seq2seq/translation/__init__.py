"""Numbers in words, translated into digits by a recurrent network with attention."""
