"""Tools of `refseg data`."""
