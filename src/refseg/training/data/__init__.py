"""Training data: batches, resumable at any step."""
