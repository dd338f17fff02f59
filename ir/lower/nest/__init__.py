"""Loop nests: one kernel for a group of elementwise ops and reductions.

The space of the group is walked as *items* (points of the kept axes; when the vector runs along a kept axis, blocks of
it) that parallel chunks are made of. Within an item each *pass* runs over the reduced axes: pass k folds the
reductions that need k reductions before them. What is dear and needed in a later pass is kept in a row of scratch.
"""

from ingot.ir.lower.nest import choose, emit
from ingot.ir.lower.target import Kind

__all__ = ["NEST"]

NEST = Kind(choose.choose, emit.emit)
