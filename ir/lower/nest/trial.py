"""The trial: a point of a nest written once, to see what it loads and stores, and how dear it is. Nothing is kept of its code."""

from __future__ import annotations

from functools import partial

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Div, Index, Mod, Var
from ingot.ir.loop.ir import For, If, IndexValue, Load, Stmt
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.nest.passes import Passes, fold_of
from ingot.ir.lower.nest.point import input_point, point_of, with_small_loops
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.scalars import convert

__all__ = ["Trial"]


class Trial:
    """The indices of one point's stores and loads, and of the values made of indices (`others`), by variables a0, a1, … of the
    group's axes; and how many instructions it takes."""

    def __init__(self, group: Group, passes: Passes, unroll: bool):
        self.group = group
        self.positions = any(fold_of(n).positions for n in passes.reductions)
        k = GroupKernel(group, "trial", no_code)
        w, elements = k.w, k.elements()
        with_small_loops(group, elements, unroll)
        at = []
        for a, d in enumerate(group.shape):
            w.ranges[f"a{a}"] = d
            at.append(ix.var(f"a{a}") if d != 1 else ZERO)
        for n in passes.reductions:
            elements.known[n.outputs[0]] = partial(_stand_in, w, n.outputs[0].type.dtype)
        for n in passes.reductions:
            elements.at(n.inputs[0], input_point(group, n, at))
        self.stores: list[Index] = []
        for v in group.outputs:
            idx = point_of(group, v, at)
            elements.at(v, idx)
            self.stores.append(linear(idx, v.type.shape))
        self.loads: list[Index] = []
        self.others: list[Index] = []
        self.instructions = 0
        self._collect(w.finish().body)

    def _collect(self, body: list[Stmt]) -> None:
        for s in body:
            self.instructions += 1
            if isinstance(s, Load):
                self.loads.append(s.index)
            elif isinstance(s, IndexValue):
                self.others.append(s.index)
            elif isinstance(s, (For, If)):
                before = self.instructions
                self._collect(s.body)
                if isinstance(s, For) and not s.extent.terms and isinstance(s.extent.const, int):
                    self.instructions = before + (self.instructions - before) * max(1, s.extent.const)

    def merges(self, outer: int, inner: int) -> bool:
        """Whether two axes of the group, both reduced or both kept, may run as one."""
        if self.positions and inner in self.group.reduced:  # a position is the coordinate of one axis, which must stay itself
            return False
        extent = self.group.shape[inner]
        return extent != 0 and all(_merges(i, f"a{outer}", f"a{inner}", extent) for i in (*self.stores, *self.loads, *self.others))

    def score(self, axis: int) -> float:
        """How well vectors along an axis of the group load and store."""
        out = 0.0
        for indices, weight in ((self.stores, 4), (self.loads, 2)):
            for i in indices:
                c = _stride(i, f"a{axis}")
                out += weight if c == 1 else 0.25 * weight if c == 0 else -weight
        for i in self.others:
            out -= _stride(i, f"a{axis}") is None
        return out


def _stand_in(w: KernelWriter, dtype: DType, idx: Point) -> Scalar:
    """Something of the right dtype, while only indices matter."""
    return convert(w, w.const(0, dtypes.f32), dtype)


def _stride(i: Index, var: str) -> int | None:
    """Coefficient of a variable in an index; None where it stands inside a division."""
    out: int | None = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == var:
                out = c  # type: ignore[assignment]
        elif isinstance(atom, (Div, Mod)) and _stride(atom.num, var) != 0:
            return None
    return out


def _merges(i: Index, outer: str, inner: str, extent: int) -> bool:
    """Whether an index depends on two axes only as outer * extent + inner."""
    a = b = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == outer:
                a = c  # type: ignore[assignment]
            elif atom.name == inner:
                b = c  # type: ignore[assignment]
        elif isinstance(atom, (Div, Mod)) and not _merges(atom.num, outer, inner, extent):
            return False
    return a == b * extent
