"""The forms of a mask."""
