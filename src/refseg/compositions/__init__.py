"""Compositions: parts with weights of their own that together are a network; `networks.COMPOSITIONS` names them."""
