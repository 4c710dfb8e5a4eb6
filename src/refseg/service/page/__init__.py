"""The web page of a service: drop a photograph, type expressions, see and compare the answers."""
