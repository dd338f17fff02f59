"""Writing a tiled contraction: B into panels, by a kernel of its own or by each item, or read where it lies; and the product."""

from __future__ import annotations

from ingot.ir.graph import Value
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.tiles.kernel import Check
from ingot.ir.lower.tiles.local import LocalProduct
from ingot.ir.lower.tiles.pack import Packing
from ingot.ir.lower.tiles.product import Product
from ingot.ir.lower.tiles.schedule import Tiles
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.size import ceil_div
from ingot.ir.types import tensor_type

__all__ = ["emit"]


def emit(group: Group, s: Tiles, check: Check) -> list[Written]:
    """The kernel that packs B, apart, so that a loop whose B stays the same packs it once; and the one that multiplies."""
    if s.pack.direct:
        return [Product(group, s, check, None).run()]
    if s.pack.depth:
        return [LocalProduct(group, s, check, None).run()]
    n = shape_of(group.nodes[0])
    panels = ceil_div(n.n, s.pack.columns)
    packed = Value(tensor_type(n.dtype, (n.b_batch * panels * n.k * s.pack.columns,)))
    return [Packing(group, s, check, packed).run(), Product(group, s, check, packed).run()]
