"""Scripts and checkpoints that were written for torch."""
