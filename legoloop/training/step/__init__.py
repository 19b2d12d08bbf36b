"""One training step: feed, autocast, loss, backward pass, guard, optimizer step."""
