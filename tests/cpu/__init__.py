"""The CPU's machine code: what is not seen from above it."""
