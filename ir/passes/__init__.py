"""Passes: each a function Graph -> Graph that keeps what the graph computes, bit for bit. `table.py` has them by name."""
