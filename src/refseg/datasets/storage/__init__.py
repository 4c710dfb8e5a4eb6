"""How data sets of files are kept and read."""
