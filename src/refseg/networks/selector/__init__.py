"""Selector, our own network."""
