"""CMIRNet, box by box of its figure."""
