"""Loops over slices, recorded as operations, in eager code and in compiled functions alike.

`scan` makes a step per slice, `map` applies a function to slices, `associative_scan` combines what precedes each element. tracing.py makes
graphs of the functions that they are given.
"""

from ingot.control.scanning import associative_scan, map, scan

__all__ = ["associative_scan", "map", "scan"]
