"""The door to the backends, what all of them share, and the CPU's ELF writer."""
