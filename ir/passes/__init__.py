"""Passes: each a function Graph -> Graph that keeps what the graph computes, bit for bit.

`PASSES` is all of them by name; `SIMPLIFY` is what the lowering runs first, in order.
"""

from ingot.ir.passes.cse import cse
from ingot.ir.passes.dce import dce
from ingot.ir.passes.fold import fold
from ingot.ir.passes.inline import inline
from ingot.ir.passes.scan import hoist, prune_scans
from ingot.ir.passes.simplify import simplify

__all__ = ["PASSES", "SIMPLIFY"]

PASSES = {p.__name__: p for p in (inline, dce, simplify, fold, cse, hoist, prune_scans)}
SIMPLIFY = (inline, dce, simplify, fold, cse, hoist, dce, prune_scans, dce)
