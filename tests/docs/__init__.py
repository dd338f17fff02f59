"""What documentation shows: the examples of docstrings, and of pages."""
