"""Passes: each a function Graph -> Graph that keeps what the graph computes, bit for bit. `PASSES` in `ir/lower` has them by name."""
