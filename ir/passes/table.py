"""All passes by name. Which of them run, and in what order, stands with the other stages in `ir/lower`."""

from ingot.ir.passes.cse import cse
from ingot.ir.passes.dce import dce
from ingot.ir.passes.fold import fold
from ingot.ir.passes.inline import inline
from ingot.ir.passes.products import absorb_transposes, swap_products
from ingot.ir.passes.scan import hoist, prune_scans
from ingot.ir.passes.simplify import simplify

__all__ = ["PASSES"]

PASSES = {p.__name__: p for p in (inline, dce, simplify, fold, cse, hoist, prune_scans, swap_products, absorb_transposes)}
