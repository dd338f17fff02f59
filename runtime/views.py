"""Views: chains of steps from the whole. Applied forwards they read; put back, they write a part into the whole."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ingot.ir.dtypes import DType, bool_, i64, u8, u16, u32, u64
from ingot.ir.graph import Const
from ingot.ir.op import OPS
from ingot.ir.size import Size, equal, larger, smaller
from ingot.ir.types import Shape, TensorType
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import here
from ingot.runtime.tape import Edge, Leaf, Pair, emit

__all__ = [
    "Bits", "Detach", "Diagonal", "LeafStep", "Movement", "Picked", "Step", "Strided", "Windows", "put_back",
    "put_by_position", "renewed", "walk",
]  # fmt: skip


_INVERSE = {"view_as_real": "view_as_complex", "view_as_complex": "view_as_real"}


class Step:
    """One link of a view's chain."""

    __slots__ = ()


class Movement(Step):
    """A movement op with its attributes. `blind`: the view was made while no history was kept."""

    __slots__ = ("op", "attrs", "blind")

    def __init__(self, op: str, attrs: tuple):
        self.op = op
        self.attrs = attrs
        self.blind = False

    def forward(self, p: Pair) -> Pair:
        """The view by this step of a value."""
        return emit(OPS[self.op], (p,), self.attrs)[0]

    def put_back(self, before: Pair, part: Pair) -> Pair:
        """`before` with its view by this step replaced by `part`."""
        shape = before[0].type.shape
        if self.op == "reshape":
            return emit(OPS["reshape"], (part,), (shape,))[0]
        if self.op == "transpose":
            perm = self.attrs[0]
            return emit(OPS["transpose"], (part,), (tuple(perm.index(i) for i in range(len(perm))),))[0]
        if self.op in _INVERSE:
            return emit(OPS[_INVERSE[self.op]], (part,), ())[0]
        if self.op == "slice":
            return _put_slice(before, part, *self.attrs)
        raise AssertionError(self.op)


class Diagonal(Movement):
    """The diagonal of the plane of two dims, as the last dim: `chain` says it in movement ops, which strides could not follow singly.

    attrs: offset, rows, columns.
    """

    __slots__ = ("chain",)

    def __init__(self, attrs: tuple[int, int, int], chain: Sequence[Movement]):
        super().__init__("diagonal", attrs)
        self.chain = tuple(chain)

    def forward(self, p: Pair) -> Pair:
        return walk(p, self.chain)

    def put_back(self, before: Pair, part: Pair) -> Pair:
        stages = [before]
        for m in self.chain[:-1]:
            stages.append(m.forward(stages[-1]))
        for m, stage in zip(reversed(self.chain), reversed(stages)):
            part = m.put_back(stage, part)
        return part


class Bits(Movement):
    """The bits read as another dtype, of any size: the last dim shrinks or grows with it. attrs: that dtype, and the one before."""

    __slots__ = ()

    def __init__(self, dtype: DType, before: DType):
        super().__init__("bits", (dtype, before))

    def forward(self, p: Pair) -> Pair:
        return _read_as(p, self.attrs[0])

    def put_back(self, before: Pair, part: Pair) -> Pair:
        return _read_as(part, self.attrs[1])


class Picked(Movement):
    """Elements of a whole that are named by their places, some of them maybe more than once: what is written goes there by position."""

    __slots__ = ()

    def put_back(self, before: Pair, part: Pair) -> Pair:
        return put_by_position(before, (self,), part)


class Strided(Picked):
    """Elements of a whole without gaps, by strides and an offset. attrs: shape, strides, offset."""

    __slots__ = ()

    def __init__(self, shape: Shape, strides: tuple[int, ...], offset: int):
        super().__init__("as_strided", (shape, strides, offset))

    def forward(self, p: Pair) -> Pair:
        flat = emit(OPS["reshape"], (p,), ((prod(p[0].type.shape),),))[0]
        return emit(OPS["index_get"], (flat, _places(*self.attrs)), ((0,),))[0]


class Windows(Picked):
    """Windows along a dim, as a new last dim: they may overlap. attrs: the dim, how many, of which size, how far apart."""

    __slots__ = ()

    def __init__(self, axis: int, count: int, size: int, step: int):
        super().__init__("windows", (axis, count, size, step))

    def forward(self, p: Pair) -> Pair:
        axis, count, size, step = self.attrs
        rank = len(p[0].type.shape) + 1
        out = emit(OPS["index_get"], (p, _places((count, size), (step, 1), 0)), ((axis,),))[0]
        return emit(OPS["transpose"], (out,), (tuple(d if d <= axis else d + 1 for d in range(rank - 1)) + (axis + 1,),))[0]


def _places(shape: Shape, strides: tuple[int, ...], offset: int) -> Pair:
    number = rank0(i64)
    total = emit(OPS["broadcast"], (_constant(offset, number),), (shape,))[0]
    for d, stride in enumerate(strides):
        steps = emit(OPS["mul"], (emit(OPS["iota"], (), (i64, shape, d))[0], _constant(stride, number)), ())[0]
        total = emit(OPS["add"], (total, steps), ())[0]
    return total


class Detach(Step):
    """The same values without their history. `data`: writes through it are not counted as in-place versions.

    history: what the detached tensor has by now, since values with one were written to it; the memory that it shows has another
    """

    __slots__ = ("data", "history")

    def __init__(self, data: bool = False):
        self.data = data
        self.history: Edge | None = None


def renewed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps for another tensor, whose history does not follow from what is written to the first."""
    return tuple([Detach(s.data) if isinstance(s, Detach) else s for s in steps])


class LeafStep(Step):
    """The same values as a leaf of the tape."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Leaf):
        self.leaf = leaf


def walk(p: Pair, steps: Sequence[Step]) -> Pair:
    """Apply a view's steps."""
    for s in steps:
        if isinstance(s, Movement):
            p = s.forward(p)
        else:
            edge = (s.leaf, 0) if isinstance(s, LeafStep) else s.history  # type: ignore[attr-defined]
            p = (here.recorder.with_edge(p[0], edge), edge)
    return p


def put_back(present: Pair, steps: Sequence[Step], part: Pair) -> Pair:
    """`present` with its view by `steps` replaced by `part`."""
    chain = [present]
    for s in steps[: max(len(steps) - 1, 0)]:
        chain.append(walk(chain[-1], (s,)))
    for s, before in zip(reversed(steps), reversed(chain)):
        part = s.put_back(before, part) if isinstance(s, Movement) else (part[0], before[1])
    return part


def put_by_position(before: Pair, steps: Sequence[Movement], part: Pair) -> Pair:
    """What `put_back` does, for steps through which an element has several places: each element of the view goes where it came from."""
    shape = before[0].type.shape
    n, flat = prod(shape), prod(part[0].type.shape)
    numbers = emit(OPS["iota"], (), (i64, (n,), 0))[0]
    positions = walk(emit(OPS["reshape"], (numbers,), (shape,))[0], steps)
    ins = [emit(OPS["reshape"], (p,), (s,))[0] for p, s in ((before, (n,)), (part, (flat,)), (positions, (flat,)))]
    written = emit(OPS["index_put"], ins, ((0,), "set"))[0]
    return emit(OPS["reshape"], (written,), (shape,))[0]


_OF_SIZE = {1: u8, 2: u16, 4: u32, 8: u64}


def _read_as(p: Pair, dtype: DType) -> Pair:
    """The bits of a value as another dtype; of several elements that make one, the first has the lowest bits."""
    t = p[0].type
    old, new = t.dtype.itemsize, dtype.itemsize
    if old == new:
        return _bitcast(p, dtype)
    small, large = _OF_SIZE[min(old, new)], _OF_SIZE[max(old, new)]
    k = large.itemsize // small.itemsize
    lead, last = t.shape[:-1], t.shape[-1]
    places = emit(OPS["mul"], (emit(OPS["iota"], (), (large, (k,), 0))[0], _constant(small.bits, rank0(large))), ())[0]
    bits = _bitcast(p, _OF_SIZE[old])
    if old > new:
        each = emit(OPS["reshape"], (bits,), ((*lead, last, 1),))[0]
        parts = emit(OPS["cast"], (emit(OPS["shift_right"], (each, places), ())[0],), (small,))[0]
        return _bitcast(emit(OPS["reshape"], (parts,), ((*lead, last * k),))[0], dtype)
    wide = emit(OPS["cast"], (emit(OPS["reshape"], (bits,), ((*lead, last // k, k),))[0],), (large,))[0]
    total = emit(OPS["reduce_sum"], (emit(OPS["shift_left"], (wide, places), ())[0],), ((len(lead) + 1,),))[0]
    return _bitcast(emit(OPS["reshape"], (total,), ((*lead, last // k),))[0], dtype)


def _bitcast(p: Pair, dtype: DType) -> Pair:
    return p if p[0].type.dtype is dtype else emit(OPS["bitcast"], (p,), (dtype,))[0]


def _put_slice(before: Pair, part: Pair, starts: tuple, stops: tuple, steps: tuple) -> Pair:
    """`before` with a slice of it replaced: concatenated along the one dim that is cut, else selected under a mask."""
    t = before[0].type
    cut = [d for d in range(t.rank) if not (starts[d] == 0 and steps[d] == 1 and stops[d] == t.shape[d])]
    if not cut:
        return part
    if len(cut) == 1 and steps[cut[0]] == 1:
        d = cut[0]
        pieces = []
        if starts[d] > 0:
            pieces.append(_slice_dim(before, d, 0, starts[d]))
        pieces.append(part)
        if stops[d] < t.shape[d]:
            pieces.append(_slice_dim(before, d, stops[d], t.shape[d]))
        return emit(OPS["concatenate"], pieces, (d,))[0]
    low, interior = starts, tuple(s - 1 for s in steps)
    extents = zip(t.shape, starts, steps, part[0].type.shape)
    high = tuple(n - start - (larger(m - 1, 0) * step + smaller(m, 1)) for n, start, step, m in extents)
    if equal(prod(part[0].type.shape), 0):
        return before
    spread = emit(OPS["pad"], (part, _constant(0, t)), (low, high, interior))[0]
    true = _constant(True, rank0(bool_))
    inside = emit(OPS["broadcast"], (true,), (part[0].type.shape,))[0]
    mask = emit(OPS["pad"], (inside, _constant(False, rank0(bool_))), (low, high, interior))[0]
    return emit(OPS["select"], (mask, spread, before), ())[0]


def _slice_dim(p: Pair, d: int, start: int, stop: int) -> Pair:
    shape = p[0].type.shape
    starts = tuple(start if i == d else 0 for i in range(len(shape)))
    stops = tuple(stop if i == d else n for i, n in enumerate(shape))
    return emit(OPS["slice"], (p,), (starts, stops, (1,) * len(shape)))[0]


def _constant(value: Any, t: TensorType) -> Pair:
    if isinstance(value, Size):
        return here.recorder.extent(value), None
    return emit(OPS["constant"], (), (Const.of(value, t.dtype),))[0]
