"""Sentences and tokens."""
