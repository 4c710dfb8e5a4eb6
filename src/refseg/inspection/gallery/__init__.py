"""Galleries: images with an expression, the ground truth and the answers of several systems side by side."""
