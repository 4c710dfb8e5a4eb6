"""Storage and reading of data sets of files."""
