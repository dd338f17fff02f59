"""Writing a depthwise convolution: the weight in the order of its taps, then windows."""

from __future__ import annotations

import math

from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, delinear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.depthwise.choose import choose
from ingot.ir.lower.depthwise.direct import Check, Windows
from ingot.ir.lower.depthwise.schedule import Depthwise
from ingot.ir.lower.depthwise.staged import Staged
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.nest import NEST
from ingot.ir.lower.nest.schedule import Nest
from ingot.ir.lower.target import Kind
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import exactly
from ingot.ir.types import tensor_type

__all__ = ["DEPTHWISE", "emit"]


def emit(group: Group, s: Depthwise | Nest, check: Check) -> list[Written]:
    """The kernel that brings the weight into the order of its taps, apart, so that a loop whose weight stays the same does it once; and
    the one that convolves."""
    if isinstance(s, Nest):
        return NEST.emit(group, s, check)
    if s.band:
        return [Staged(group, s, check).run()]
    f = form_of(group.nodes[0])
    packed = Value(tensor_type(shape_of(group.nodes[0]).dtype, (*f.k[:-1], f.batch[1])))
    return [_packing(group, s, check, packed), Windows(group, s, check, packed).run()]


def _packing(group: Group, s: Depthwise, check: Check, packed: Value) -> Written:
    k = GroupKernel(group, "pack", check)
    w, f = k.w, form_of(group.nodes[0])
    name = k.buffer(packed, "w", noalias=True)
    channels, taps = f.batch[1], f.k[:-1]

    def tap(i: Index) -> None:
        elements = k.elements()
        at = delinear(i, taps, w.ranges)
        with w.loop("vector", channels, s.width, exactly(channels, s.width) is not None) as c:
            x = f.b(elements, (ZERO, c), (*at, ZERO), (ZERO,) * len(f.n))
            w.store(name, ix.add(ix.mul(i, channels), c), convert(w, x, packed.type.dtype))

    w.chunks(math.prod(taps), max(1, s.pack // max(1, assumed(channels))), tap)
    return k.finish(s)


DEPTHWISE = Kind(choose, emit)
