"""Passes: each a function Graph -> Graph that keeps what the graph computes, bit for bit (`sum_behind`: but for the order of sums).

`PASSES` in `ir/lower` has them by name.
"""
