"""ingot.utils.data."""
