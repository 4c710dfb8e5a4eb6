"""Videos of drawn scenes."""
