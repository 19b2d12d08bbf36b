"""A pole on a cart, balanced by a policy that is trained with REINFORCE."""
