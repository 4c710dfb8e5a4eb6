"""Readers: an English expression to a program, and the program evaluated on found objects; no network, no torch."""
