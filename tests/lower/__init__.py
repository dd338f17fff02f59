"""From graph to loops to numbers."""
