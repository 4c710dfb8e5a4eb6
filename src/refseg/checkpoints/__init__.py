"""A folder of weights and all that belongs to them."""
