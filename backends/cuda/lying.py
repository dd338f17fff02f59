"""How an operand of a product lies in memory, where it is read as it is: neighbours can be copied together, past the registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingot.ir.dtypes import DType
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.index import Ranges
from ingot.ir.loop.ir import Load
from ingot.ir.loop.points import Point
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["CHUNK", "Lies", "found", "lies"]

CHUNK = 16  # bytes that are copied together


@value_type
class Lies:
    """An operand's value in memory, and where an element lies in it, by variables q0…, m0… (or n0…) and k0… for the dims.

    along_k  neighbours in memory are neighbours along k, else along rows or columns
    """

    value: Value
    where: Index
    along_k: bool

    def at(self, points: Mapping[str, Point], ranges: Ranges) -> Index:
        """Where the element at a point lies: of each kind of dims, by its letter."""
        return ix.placed(self.where, {f"{name}{j}": i for name, point in points.items() for j, i in enumerate(point)}, ranges)


def found(k: GroupKernel, out: Scalar, dtype: DType, last: Sequence[tuple[str, Dim]]) -> Lies | None:
    """How an element lies that a kernel was written to read; None where that is no load of `dtype`, or there are no whole chunks.

    last: the variables along which neighbours may lie, and their extents
    """
    body = k.w.finish().body
    if out.dtype is not dtype or len(body) != 1 or not isinstance(body[0], Load) or body[0].mask is not None:
        return None
    where, n = body[0].index, CHUNK // dtype.itemsize
    (value,) = k.names
    for name, extent in last:
        steps = [c for a, c in where.terms if not (isinstance(a, Var) and a.name == name)]
        whole = isinstance(extent, int) and extent % n == 0 and ix.coefficient(where, name) == 1
        if whole and all(isinstance(c, int) and c % n == 0 for c in (*steps, where.const)):
            others = {v for v, _ in last} - {name}
            known = all(isinstance(a, Var) or not ix.depends_on(a.num, tuple(others)) for a, _ in where.terms)  # type: ignore[union-attr]
            return Lies(value, where, name[0] == "k") if known else None
    return None


def lies(group: Group, left: bool) -> Lies | None:
    """How the left or the right operand of a group's product lies in memory; None where it is not read as it is, or not in chunks."""
    f = form_of(group.nodes[0])
    across, dims = ("m", f.m) if left else ("n", f.n)
    if f.zeros is not None or not f.k or not dims:
        return None
    k = GroupKernel(group, "trial", no_code)
    q, i, s = k.point("q", f.batch), k.point(across, dims), k.point("k", f.k)
    out = f.a(k.elements(), q, i, s) if left else f.b(k.elements(), q, s, i)
    dtype = (f.left if left else f.right).type.dtype
    return found(k, out, dtype, ((f"k{len(f.k) - 1}", f.k[-1]), (f"{across}{len(dims) - 1}", dims[-1])))
