"""Export: the networks of checkpoints as graphs for other runtimes."""
