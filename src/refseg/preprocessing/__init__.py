"""An image to the network's input, and logits back to the image."""
