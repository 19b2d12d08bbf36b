"""One run: started, resumed, interrupted, recorded."""
