"""Loops and branches, recorded as operations, in eager code and in compiled functions alike.

`cond` runs one of two functions, `while_loop` makes steps while values say so, `scan` makes a step per slice, `map` applies a function
to slices, `associative_scan` combines what precedes each element. tracing.py makes graphs of the functions that they are given.
"""

from ingot.control.deciding import cond, while_loop
from ingot.control.scanning import associative_scan, map, scan

__all__ = ["associative_scan", "cond", "map", "scan", "while_loop"]
