"""The trial: a point of a nest written once, to see what it loads and stores, and how dear it is. Nothing is kept of its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial
from math import prod

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.facts import Reads, View
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Coef, Div, Dyn, Index, Mod, Var
from ingot.ir.loop.ir import Const, For, If, IndexValue, Let, Load, Stmt
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.nest.passes import Passes, fold_of
from ingot.ir.lower.nest.point import input_point, point_of, with_small_loops
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.scalars import convert
from ingot.ir.types import Dim

__all__ = ["Trial"]


class Trial:
    """The indices of one point's stores and loads, and of the values made of indices (`others`), by variables a0, a1, … of the
    group's axes; and how many instructions it takes."""

    def __init__(self, group: Group, passes: Passes, unroll: bool, extents: Mapping[int, int] | None = None):
        """Write a point where the axes are variables below `extents`, by default their own, and those without one stand at 0."""
        self.group = group
        self.passes = passes
        self.unroll = unroll
        self.positions = any(fold_of(n).positions for n in passes.reductions)
        k = GroupKernel(group, "trial", no_code)
        w, elements = k.w, k.elements()
        with_small_loops(group, elements, unroll)
        at = [ZERO] * len(group.shape)
        if extents is None:
            extents = {a: d for a, d in enumerate(group.shape) if d != 1}
        for a, d in extents.items():
            w.ranges[f"a{a}"] = d
            at[a] = ix.var(f"a{a}")
        for n in passes.reductions:
            elements.known[n.outputs[0]] = partial(_stand_in, w, n.outputs[0].type.dtype)
        for n in passes.reductions:
            elements.at(n.inputs[0], input_point(group, n, at))
        self.stores: list[Index] = []
        for v in group.outputs:
            idx = point_of(group, v, at)
            elements.at(v, idx)
            self.stores.append(group.offset(v, idx))
        self.loads: list[Index] = []
        self.others: list[Index] = []
        self._values: dict[str, Index] = {}
        self.compared: list[tuple[Index, int]] = []  # values made of indices, and what they are compared with
        self.instructions = 0
        self._collect(w.finish().body)

    def _collect(self, body: list[Stmt]) -> None:
        for s in body:
            self.instructions += 1
            if isinstance(s, Load):
                self.loads.append(s.index)
            elif isinstance(s, IndexValue):
                self.others.append(s.index)
                self._values[s.dst] = s.index
            elif isinstance(s, Let) and s.op in ("lt", "ge") and isinstance(s.args[0], str) and isinstance(s.args[1], Const):
                if s.args[0] in self._values:
                    self.compared.append((self._values[s.args[0]], int(s.args[1].value)))
            elif isinstance(s, (For, If)):
                before = self.instructions
                self._collect(s.body)
                if isinstance(s, For) and not s.extent.terms:
                    self.instructions = before + (self.instructions - before) * max(1, assumed(s.extent.const))

    def merges(self, outer: int, inner: int) -> bool:
        """Whether two axes of the group, both reduced or both kept, may run as one."""
        if self.positions and inner in self.group.reduced:  # a position is the coordinate of one axis, which must stay itself
            return False
        extent = self.group.shape[inner]
        return extent != 0 and all(_merges(i, f"a{outer}", f"a{inner}", extent) for i in (*self.stores, *self.loads, *self.others))

    def together(self, runs: Sequence[Sequence[int]]) -> bool:
        """Whether runs of axes that merge in pairs give the same places when they run by the last axis of each alone.

        Where elements are reshaped on the way, a place may have been found by what is known of an axis by itself: that it is short.
        """
        lowerings = (n.op.lowering for n in (*self.group.nodes, *self.group.inside()))
        if all(len(run) == 1 for run in runs) or not any(isinstance(how, View) and how.reads is Reads.SAME for how in lowerings):
            return True
        merged = Trial(self.group, self.passes, self.unroll, {run[-1]: prod(self.group.shape[a] for a in run) for run in runs})
        gone = {f"a{a}" for run in runs for a in run[:-1]}
        return all(
            [_without(i, gone) for i in mine] == theirs
            for mine, theirs in ((self.stores, merged.stores), (self.loads, merged.loads), (self.others, merged.others))
        )

    def cuts(self, axis: int) -> tuple[int, ...]:
        """Where along an axis of the group it is decided which elements are read, and so between which places nothing is asked."""
        var, extent = f"a{axis}", self.group.shape[axis]
        found = set()
        for i, c in self.compared:
            if len(i.terms) == 1 and isinstance(i.terms[0][0], Var) and i.terms[0][0].name == var and isinstance(i.const, int):
                step = i.terms[0][1]
                found |= {c - i.const} if step == 1 else {i.const - c + 1} if step == -1 else set()
        return tuple(sorted(at for at in found if isinstance(extent, int) and 0 < at < extent))

    def score(self, axis: int) -> float:
        """How well vectors along an axis of the group load and store; results of folds, stored once a row, together count as one."""
        full = [v in self.passes.full or not self.passes.reductions for v in self.group.outputs]
        often, once = ([i for i, f in zip(self.stores, full) if f is which] for which in (True, False))
        out = 0.0
        for indices, weight in ((often, 4.0), (once, 4 / max(1, len(once))), (self.loads, 2.0)):
            for i in indices:
                c = _stride(i, f"a{axis}")
                out += weight if c == 1 else 0.25 * weight if c == 0 else -weight
        for i in self.others:
            out -= _stride(i, f"a{axis}") is None
        return out

    def spreads(self, axis: int) -> bool:
        """Whether vectors along an axis of the group load or store elements that lie anywhere."""
        return any(_is_spread(i, f"a{axis}") for i in (*self.loads, *self.stores))


def _is_spread(i: Index, var: str) -> bool:
    step = _stride(i, var)
    if step == 0:  # the same for all lanes, unless it follows from what they have loaded
        return any(isinstance(atom, Dyn) for atom, _ in i.terms)
    return not (isinstance(step, int) and abs(step) == 1)


def _without(i: Index, gone: Set[str]) -> Index:
    """An index where some variables are 0."""
    out = ix.const(0)
    for atom, c in i.terms:
        if isinstance(atom, (Div, Mod)):
            inner = _without(atom.num, gone)
            here = (ix.div if isinstance(atom, Div) else ix.mod)(inner, atom.den)
        elif isinstance(atom, Var) and atom.name in gone:
            continue
        else:
            here = Index(0, ((atom, 1),))
        out = ix.add(out, ix.mul(here, c))
    return ix.add(out, Index(i.const, ()))


def _stand_in(w: KernelWriter, dtype: DType, idx: Point) -> Scalar:
    """Something of the right dtype, while only indices matter."""
    return convert(w, w.const(0, dtypes.f32), dtype)


def _stride(i: Index, var: str) -> Coef | None:
    """Coefficient of a variable in an index; None where it stands inside a division."""
    out: Coef | None = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == var:
                out = c
        elif isinstance(atom, (Div, Mod)) and _stride(atom.num, var) != 0:
            return None
    return out


def _merges(i: Index, outer: str, inner: str, extent: Dim) -> bool:
    """Whether an index depends on two axes only as outer * extent + inner."""
    a: Coef = 0
    b: Coef = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == outer:
                a = c
            elif atom.name == inner:
                b = c
        elif isinstance(atom, (Div, Mod)) and not _merges(atom.num, outer, inner, extent):
            return False
    return a == b * extent
