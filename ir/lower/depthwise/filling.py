"""An input that is set among its zeros: the part of a channel that a band of windows reads, in scratch."""

from __future__ import annotations

from functools import reduce

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, linear
from ingot.ir.lower.depthwise.schedule import Stage, steps
from ingot.ir.lower.group_kernel import GroupKernel
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.form import Form

__all__ = ["Filling", "early"]


def early(w: KernelWriter, i: Index, per: int, total: int) -> Index:
    """Where the i-th of equal parts begins; the last one early, so that it is whole and overlaps its neighbour."""
    start = ix.mul(i, per)
    return start if total % per == 0 else w.as_index(w.min(w.index_value(start), total - per))


class Filling:
    """Writes the filling of scratch, which `stage` describes, for windows of the form f, by vectors of `width` lanes."""

    def __init__(self, k: GroupKernel, f: Form, stage: Stage, width: int, dtype: DType):
        self.k, self.w, self.form, self.stage, self.width, self.dtype = k, k.w, f, stage, width, dtype
        self.steps = steps(f)
        self.sizes = [int(d) for d in f.left.type.shape[2:]]  # type: ignore[arg-type]
        self.low = tuple(int(d) for d in f.zeros.low) if f.zeros else (0,) * len(self.sizes)  # type: ignore[arg-type]

    def fill(self, scratch: str, q: Point, lead: Point, first: Index) -> None:
        """The part of a channel's input that results from row `first` on read."""
        f, w, s = self.form, self.w, self.stage

        def line(plane: Point, row: Index) -> None:
            before = tuple(ix.add(ix.mul(m, a), ix.mul(k, b)) for m, k, (a, b) in zip(lead, plane, self.steps))
            y = () if len(self.sizes) == 1 else (ix.add(ix.mul(first, self.steps[-2][0]), row),)
            to = ix.mul(linear((*plane, row), s.shape[:-2]), s.phases * s.pitch)
            if f.zeros is not None and any(g != 1 for g in f.zeros.gap):
                self.apart(scratch, to, q, (*before, *y))
                return
            at = tuple(ix.add(i, ix.const(-lo)) for i, lo in zip((*before, *y), self.low))
            inside = self.among(at)
            if inside is None:
                self.copy(scratch, to, (*q, *at))
                return
            with w.when(inside):
                self.copy(scratch, to, (*q, *at))
            with w.when(w.not_(inside)):
                self.zeros(scratch, to, s.phases * s.pitch)

        w.over((*s.taps, s.rows), (), lambda at: line(at[:-1], at[-1]))

    def among(self, at: Point) -> Scalar | None:
        """Whether a line lies in the input; None: every one does."""
        w, zeros = self.w, self.form.zeros
        conditions = []
        for i, lo, extent, size in zip(at, self.low, zeros.extent if zeros else (), self.sizes):
            if lo > 0:
                conditions.append(w.ge(w.index_value(i), 0))
            if int(extent) - lo > size:  # type: ignore[call-overload]
                conditions.append(w.lt(w.index_value(i), size))
        return reduce(w.and_, conditions) if conditions else None

    def zeros(self, scratch: str, to: Index, count: int) -> None:
        with self.w.loop("vector", count, self.width, count % self.width == 0) as v:
            self.w.store(scratch, ix.add(to, v), self.w.const(0, self.dtype))

    def copy(self, scratch: str, to: Index, line: Point) -> None:
        """A line of the input: for each phase zeros in front and behind, then, over what they have too much, its columns."""
        s, width, low, size = self.stage, self.width, self.low[-1], self.sizes[-1]
        for phase in range(s.phases):
            here = ix.add(to, ix.const(phase * s.pitch))
            front = max(0, -((phase - low) // s.phases))
            source = front * s.phases + phase - low
            count = max(0, min(-((source - size) // s.phases), s.pitch - front))
            if front:
                self.zeros(scratch, here, min(s.pitch, -(-front // width) * width))
            behind = s.pitch - front - count
            if behind > 0:
                many = min(s.pitch, -(-behind // width) * width)
                self.zeros(scratch, ix.add(here, ix.const(s.pitch - many)), many)
            whole = count // width * width
            self.columns(scratch, here, line, front, source, whole)
            if whole and whole < count:  # the last vector overlaps its neighbour
                self.columns(scratch, here, line, front + count - width, source + (count - width) * s.phases, width)
            elif whole < count:
                self.columns(scratch, here, line, front, source, count)

    def columns(self, scratch: str, to: Index, line: Point, front: int, source: int, count: int) -> None:
        """Columns from `front` on of a phase, whose first is element `source` of a line."""
        w, elements = self.w, self.k.elements()
        if not count:
            return
        with w.loop("vector", count, self.width, count % self.width == 0) as v:
            x = elements.at(self.form.left, (*line, ix.add(ix.mul(v, self.stage.phases), ix.const(source))))
            w.store(scratch, ix.add(to, ix.add(v, ix.const(front))), w.cast(x, self.dtype))

    def apart(self, scratch: str, to: Index, q: Point, line: Point) -> None:
        """A line whose elements lie apart, with zeros between them."""
        w, f, s, elements = self.w, self.form, self.stage, self.k.elements()
        for phase in range(s.phases):
            with w.loop("vector", s.pitch, self.width, s.pitch % self.width == 0) as v:
                x = f.among_zeros(elements, (*q, *line, ix.add(ix.mul(v, s.phases), ix.const(phase))))
                w.store(scratch, ix.add(to, ix.add(ix.const(phase * s.pitch), v)), w.cast(x, self.dtype))
