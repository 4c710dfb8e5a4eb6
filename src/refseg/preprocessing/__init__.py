"""Preprocessing of images, and resizing of logits to the image."""
