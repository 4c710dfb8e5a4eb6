"""Selector, our own network: finder and chooser."""
