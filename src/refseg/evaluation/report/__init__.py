"""The report of an evaluation: tables, caveats, plots, files."""
