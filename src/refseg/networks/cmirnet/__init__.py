"""CMIRNet; one file per box of its overview figure."""
