"""The schedule of a nest."""

from __future__ import annotations

import math

from ingot.ir.facts import Contraction, Window
from ingot.ir.lower.group import Group
from ingot.ir.lower.nest.passes import Passes
from ingot.ir.lower.nest.trial import Trial
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.ops.form import form_of
from ingot.ir.size import at_most
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["Nest", "Split", "along_k_fits"]


@value_type
class Split(Schedule):
    """A long reduction in parts of `step` along a merged axis: each part is a parallel chunk, then the results are combined."""

    axis: int
    step: int


@value_type
class Nest(Schedule):
    """A loop nest over the space of a group.

    Its kept axes are walked as items that chunks are made of; an item makes all passes over the reduced axes.

    axes       the axes that are not of extent 1, in order, those that run as one together
    vector     which of these vectors run along (None: scalar code)
    width      lanes of a vector; 1 without one
    block      elements of a kept vector axis in an item; as many as it has, or more: all of them
    chunk      items in a parallel chunk; as many as there are, or more: no parallel loop
    kept       dear members that several passes need, in rows of scratch: (position in the group, the pass that computes it)
    split      instead of items that make all passes
    run        steps of the loops of a sum that are folded on their own, where it is a cascade; 0: all are one run
    along_k    lanes of a vector along the contracted dim of the group's product
    unroll     expand the group's window in place
    streaming  which outputs are stored past the caches
    cuts       places along the vector axis, each in an item whole, between which it is decided what elements are read
    """

    axes: tuple[tuple[int, ...], ...]
    vector: int | None
    width: int
    block: int = 1
    chunk: int = 1
    kept: tuple[tuple[int, int], ...] = ()
    split: Split | None = None
    run: int = 0
    along_k: int = 0
    unroll: bool = False
    streaming: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()

    def extent(self, group: Group, axis: int) -> Dim:
        """The extent of a merged axis."""
        return math.prod(group.shape[a] for a in self.axes[axis])

    def reduced(self, group: Group, axis: int) -> bool:
        """Whether a merged axis is reduced."""
        return self.axes[axis][0] in group.reduced

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""

        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ScheduleError(f"{self}: {what} ({group})")

        lanes(self.width)
        at_least_one(chunk=self.chunk)
        passes = Passes(group)
        trial = Trial(group, passes, self.unroll)
        need([a for run in self.axes for a in run] == [a for a, d in enumerate(group.shape) if d != 1], "axes are not the group's")
        for run in self.axes:
            need(len({a in group.reduced for a in run}) == 1, "reduced and kept axes are merged")
            need(all(trial.merges(a, b) for a, b in zip(run, run[1:])), f"axes {run} cannot run as one")
        need(trial.together(self.axes), "merged axes read other places")
        need(self.vector is None or 0 <= self.vector < len(self.axes), "there is no such vector axis")
        need(self.vector is not None or self.width == 1, "vectors along no axis")
        kept = self.vector is not None and not self.reduced(group, self.vector)
        need(type(self.block) is int and self.block >= (kept and self.extent(group, self.vector or 0) != 0), "blocks of nothing")
        row = self.vector is not None and not kept and sum(self.reduced(group, i) for i in range(len(self.axes))) == 1
        for at, k in self.kept:
            need(row and 0 <= at < len(group.nodes) and 0 <= k < passes.count, "a row of scratch where there is no row")
            v = group.nodes[at].outputs[0]
            need(v in passes.full and passes.levels[v] <= k and v in passes.reads(k), "a row of scratch is filled by a pass that cannot")
        need((self.split is not None) == group.split, "the group's reductions are split, or not")
        if self.split is not None:
            need(0 <= self.split.axis < len(self.axes) and self.reduced(group, self.split.axis), "the split axis is not reduced")
            need(self.split.step >= 1, "parts of nothing")
        need(self.run >= 0, "runs of less than nothing")
        lanes(self.along_k or 1)
        need(not self.along_k or (self.vector is None and along_k_fits(group)), "no product whose vectors may run along k")
        need(not self.unroll or isinstance(group.nodes[0].op.lowering, Window), "nothing to unroll")
        need(all(0 <= i < len(group.outputs) for i in self.streaming), "there is no such output")
        if self.cuts:
            whole = self.vector is not None and kept and not group.reduced and at_most(self.extent(group, self.vector), self.block)
            need(bool(whole), "the vector axis is in parts already")
            need(list(self.cuts) == sorted(set(self.cuts)) and 0 < self.cuts[0], "parts of an axis in no order")
            need(bool(at_most(self.cuts[-1] + 1, self.extent(group, self.vector or 0))), "parts behind an axis")


def along_k_fits(group: Group) -> bool:
    """Whether vectors may run along the last contracted dim of the group's product: both operands lie in memory with the elements of
    a sum together, or there is no other axis for them."""
    node = group.nodes[0]
    if not isinstance(node.op.lowering, Contraction) or group.reduced:
        return False
    f = form_of(node)
    if f.overlapping or not f.k:
        return False
    return all(d == 1 for d in group.shape) or all(v in group.in_memory for v in (f.left, f.right)) and f.contiguous
