"""Image or video and expressions to results."""
