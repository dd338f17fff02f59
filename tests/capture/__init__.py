"""ingot.compile, and ingot.export of what it traces."""
