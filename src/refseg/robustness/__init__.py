"""Robustness: the same questions in other words and in worse pictures."""

PROTOCOL = "refseg-robust-1"
"""Name and version of kinds, severities and measures: figures are quoted with it, and it seeds all changes."""
