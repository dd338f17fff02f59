"""How an operand of a product lies in memory, where it is read as it is: neighbours can be copied together, past the registers."""

from __future__ import annotations

from collections.abc import Mapping

from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.ir import Load
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.ops.form import form_of
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["CHUNK", "Lies", "lies"]

CHUNK = 16  # bytes that are copied together


@value_type
class Lies:
    """An operand's value in memory, and where an element lies in it: a sum of the variables q0…, m0… (or n0…) and k0… of the dims.

    along_k  neighbours in memory are neighbours along k, else along rows or columns
    """

    value: Value
    where: Index
    along_k: bool

    def at(self, points: Mapping[str, Point]) -> Index:
        """Where the element at a point lies."""
        out = ix.const(self.where.const)
        for atom, c in self.where.terms:
            assert isinstance(atom, Var)
            out = ix.add(out, ix.mul(points[atom.name[0]][int(atom.name[1:])], c))
        return out


def lies(group: Group, left: bool) -> Lies | None:
    """How the left or the right operand lies in memory; None where elements are not read as they are, or not in chunks."""
    f = form_of(group.nodes[0])
    across, dims = ("m", f.m) if left else ("n", f.n)
    if f.zeros is not None or not f.k or not dims:
        return None
    k = GroupKernel(group, "trial", no_code)

    def point(name: str, dims: tuple[Dim, ...]) -> Point:
        for j, d in enumerate(dims):
            k.w.ranges[f"{name}{j}"] = d
        return tuple(ZERO if d == 1 else ix.var(f"{name}{j}") for j, d in enumerate(dims))

    q, i, s = point("q", f.batch), point(across, dims), point("k", f.k)
    out = f.a(k.elements(), q, i, s) if left else f.b(k.elements(), q, s, i)
    body = k.w.finish().body
    dtype = (f.left if left else f.right).type.dtype
    if out.dtype is not dtype or len(body) != 1 or not isinstance(body[0], Load) or body[0].mask is not None:
        return None
    where, n = body[0].index, CHUNK // dtype.itemsize
    if not isinstance(where.const, int) or any(not isinstance(a, Var) or not isinstance(c, int) for a, c in where.terms):
        return None
    (value,) = k.names
    for name, of in (("k", f.k), (across, dims)):
        last, d = f"{name}{len(of) - 1}", of[-1]
        steps = {a.name: c for a, c in where.terms if isinstance(a, Var)}
        if isinstance(d, int) and d % n == 0 and steps.pop(last, 0) == 1 and all(c % n == 0 for c in (*steps.values(), where.const)):  # type: ignore[operator]
            return Lies(value, where, name == "k")
    return None
