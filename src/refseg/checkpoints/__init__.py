"""Checkpoints: folders of weights with config, recipe and card."""
