"""The procedural benchmark: scenes with exact masks and certain referents."""
