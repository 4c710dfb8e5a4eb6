"""Videos: frames with their times, and writers; no networks."""
