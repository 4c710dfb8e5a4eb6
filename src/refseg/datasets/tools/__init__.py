"""What `refseg data` does with a data set."""
