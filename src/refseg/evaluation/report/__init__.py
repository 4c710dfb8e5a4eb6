"""Everything that is said about one evaluation."""
