"""Storage: what a tensor and its views share. Views and in-place operations are turned into values here.

A Storage holds the present value of the whole, `base`. A view is a chain of *steps* from it: movement ops (reshape,
transpose, slice, broadcast), `Detach` and `LeafStep`. Reading a stale view applies its steps again; writing to a view
goes through them backwards: each step puts the new part back into the value before it. All of that is recorded like
anything else, so gradients through views and in-place writes are right without rules of their own.

Storage that can be written from outside is *exposed* (shared with NumPy): reads take a snapshot, writes go through at once.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from ingot.ir.dtypes import i64
from ingot.ir.op import OPS
from ingot.ir.types import Shape, TensorType, numel, tensor_type
from ingot.runtime import array as arrays
from ingot.runtime.array import Array
from ingot.runtime.recorder import here
from ingot.runtime.tape import Edge, Leaf, Pair, Version, emit, overwritten

__all__ = ["Storage", "Step", "Movement", "Diagonal", "Detach", "DATA", "DETACH", "LeafStep", "Layout", "layout", "walk"]

_generations = count(1)
NEVER = float("nan")  # a generation that equals no other: exposed storage is read anew each time
SNAPSHOT_LIMIT = 4 << 20  # bytes; what is larger is not copied, its readers run at once instead


class Step:
    """One link of a view's chain."""

    __slots__ = ()


class Movement(Step):
    """A movement op with its attributes."""

    __slots__ = ("op", "attrs")

    def __init__(self, op: str, attrs: tuple):
        self.op = op
        self.attrs = attrs

    def forward(self, p: Pair) -> Pair:
        return emit(OPS[self.op], (p,), self.attrs)[0]

    def put_back(self, before: Pair, part: Pair) -> Pair:
        """`before` with its view by this step replaced by `part`."""
        shape = before[0].type.shape
        if self.op == "reshape":
            return emit(OPS["reshape"], (part,), (shape,))[0]
        if self.op == "transpose":
            perm = self.attrs[0]
            return emit(OPS["transpose"], (part,), (tuple(perm.index(i) for i in range(len(perm))),))[0]
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


class Detach(Step):
    """The same values without their history. `data`: writes through it are not counted as in-place versions."""

    __slots__ = ("data",)

    def __init__(self, data: bool = False):
        self.data = data


DETACH = Detach()
DATA = Detach(True)


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
        elif isinstance(s, LeafStep):
            p = (p[0], (s.leaf, 0))
        else:
            p = (p[0], None)
    return p


def _put_back(present: Pair, steps: Sequence[Step], part: Pair) -> Pair:
    """`present` with its view by `steps` replaced by `part`."""
    chain = [present]
    for s in steps[: max(len(steps) - 1, 0)]:
        chain.append(walk(chain[-1], (s,)))
    for s, before in zip(reversed(steps), reversed(chain)):
        part = s.put_back(before, part) if isinstance(s, Movement) else (part[0], before[1])
    return part


def _put_expanded(present: Pair, steps: Sequence[Step], part: Pair) -> Pair:
    """The same for views that were expanded on the way: by position. RuntimeError where elements of the view share memory."""
    t = present[0].type
    if layout(t.shape, steps).overlaps:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    history = present[1]
    detached = any(not isinstance(s, Movement) for s in steps)
    if detached:
        present, part = (present[0], None), (part[0], None)
    n = numel(t.shape)
    numbers = emit(OPS["iota"], (), (i64, (n,), 0))[0]
    positions = walk(emit(OPS["reshape"], (numbers,), (t.shape,))[0], [s for s in steps if isinstance(s, Movement)])
    flat = numel(part[0].type.shape)
    ins = [emit(OPS["reshape"], (p,), (shape,))[0] for p, shape in ((present, (n,)), (part, (flat,)), (positions, (flat,)))]
    written = emit(OPS["index_put"], ins, ((0,), "set"))[0]
    value, edge = emit(OPS["reshape"], (written,), (t.shape,))[0]
    return value, history if detached else edge


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
    high = tuple(n - start - (max(m - 1, 0) * step + min(m, 1)) for n, start, step, m in zip(t.shape, starts, steps, part[0].type.shape))
    if numel(part[0].type.shape) == 0:
        return before
    spread = emit(OPS["pad"], (part, _constant(0, t)), (low, high, interior))[0]
    true = _constant(True, TensorType(_bool(), ()))
    inside = emit(OPS["broadcast"], (true,), (part[0].type.shape,))[0]
    mask = emit(OPS["pad"], (inside, _constant(False, TensorType(_bool(), ()))), (low, high, interior))[0]
    return emit(OPS["select"], (mask, spread, before), ())[0]


def _slice_dim(p: Pair, d: int, start: int, stop: int) -> Pair:
    shape = p[0].type.shape
    starts = tuple(start if i == d else 0 for i in range(len(shape)))
    stops = tuple(stop if i == d else n for i, n in enumerate(shape))
    return emit(OPS["slice"], (p,), (starts, stops, (1,) * len(shape)))[0]


def _bool() -> Any:
    from ingot.ir.dtypes import bool_

    return bool_


def _constant(value: Any, t: TensorType) -> Pair:
    from ingot.ir.graph import Const
    from ingot.runtime.numbers import rank0

    payload = Const(rank0(t.dtype), np.asarray(value).astype(t.dtype.numpy).tobytes())
    return emit(OPS["constant"], (), (payload,))[0]


class Storage:
    """What a tensor and its views share: the present value, where its gradient goes, and how often it was written."""

    __slots__ = ("base", "edge", "generation", "version", "exposed", "writable", "watched", "__weakref__")

    def __init__(self, base: Array, edge: Edge | None, version: Version | None):
        self.base = base
        self.edge = edge
        self.generation: float = next(_generations)
        self.version = version or Version()
        self.exposed: Any = None  # None, True (for as long as it lives), or a weak reference to the NumPy array
        self.writable = True
        self.watched = False  # a compiled function has captured it

    def read(self, steps: Sequence[Step], own: bool = False) -> tuple[Pair, float]:
        """The present value of a view, and the generation it is of.

        `own`: not the memory that others see, however large it is.
        """
        rec = here.recorder
        was = rec.grad_enabled
        rec.grad_enabled = True
        try:
            if self.exposed is not None and not self._closed():
                return self._snapshot(steps, own), NEVER
            return walk((self.base, self.edge), steps), self.generation
        finally:
            rec.grad_enabled = was

    # ---- writing

    def write(self, steps: Sequence[Step], new: Pair, grad: bool) -> None:
        """Make `new` the value of the view by `steps`. `grad`: the history of the base changes with it."""
        if not self.writable:
            raise RuntimeError("cannot write to a tensor that shares memory with a read-only NumPy array; clone() it first")
        rec = here.recorder
        was = rec.grad_enabled
        rec.grad_enabled = grad
        try:
            present = self._present()
            cur = new if grad else (new[0], None)
            if any(isinstance(s, Movement) and s.op == "broadcast" for s in steps):
                cur = _put_expanded(present, steps, cur)
            else:
                cur = _put_back(present, steps, cur)
        finally:
            rec.grad_enabled = was
        edge = self.edge
        if grad:
            edge = overwritten("CopySlices" if steps else "CopyBackwards", cur[1], self.edge, cur[0].type)
        counts = not any(s is DATA for s in steps)
        self.commit(cur[0], edge, counts)

    def _present(self) -> Pair:
        """The value of the whole as it is now, fit to be recorded."""
        if self.exposed is not None and not self._closed():
            return self._snapshot(())
        return self.base, self.edge

    def commit(self, base: Array, edge: Edge | None, counts: bool = True) -> None:
        """Set the value of the whole. Views notice at their next read."""
        if self.exposed is not None and not self._closed():
            value = arrays.to_numpy(base)  # runs what is pending
            arrays.to_numpy(self.base)[...] = value
        else:
            self.base = base
            self.generation = next(_generations)
        self.edge = edge
        if counts:
            self.version.n += 1

    def renew(self) -> None:
        """Make all views stale."""
        self.generation = next(_generations)

    def detach(self) -> None:
        """Forget the history of the whole."""
        self.edge = None
        if self.generation == self.generation:
            self.renew()

    # ---- memory that others see

    def _closed(self) -> bool:
        """Whether the NumPy array that this storage was shared with is gone; then it is private again."""
        if self.exposed is True or self.exposed() is not None:
            return False
        self.exposed = None
        self.generation = next(_generations)
        return True

    def _snapshot(self, steps: Sequence[Step], own: bool = False) -> Pair:
        view = arrays.to_numpy(self.base)
        n = 0
        if self.edge is None:  # steps on the memory itself: only what the view shows is copied
            for s in steps:
                if isinstance(s, LeafStep):
                    break
                if isinstance(s, Movement):
                    view = _numpy_step(view, s)
                n += 1
        t = self.base.type
        if view.nbytes > SNAPSHOT_LIMIT and not own and view.size == numel(t.shape) and not here.recorder.tracing:
            here.recorder.run_soon = True
            return walk((self.base, self.edge), steps)
        copied = arrays.from_numpy(tensor_type(t.dtype, view.shape), view)
        return walk((copied, self.edge), steps[n:])

    def share(self, by: Any) -> None:
        """From now on the memory is seen from outside: for ever (True), or while the array lives that `by` refers to weakly."""
        self.exposed = by
        self.generation = NEVER

    def expose(self, steps: Sequence[Step], known: int) -> np.ndarray:
        """A NumPy array that shares this storage's memory, with the view's shape and strides.

        `known`: how many references to the base's Array the caller accounts for. Where there are more (copies, the
        tape, pending work), the memory is copied first: those must not see what NumPy writes.
        """
        arrays.ready(self.base)
        if self.exposed is None or self._closed():
            if sys.getrefcount(self.base) > known:
                self.base = arrays.from_numpy(self.base.type, arrays.to_numpy(self.base))
            whole = arrays.to_numpy(self.base)
            self.share(weakref.ref(whole))
        elif self.exposed is True:
            whole = arrays.to_numpy(self.base)
        else:
            whole = self.exposed()
            if whole is None:
                return self.expose(steps, known)
        view = whole
        for s in steps:
            if isinstance(s, Movement):
                view = _numpy_step(view, s)
        return view


def _numpy_step(a: np.ndarray, s: Movement) -> np.ndarray:
    """A movement step on NumPy memory, without copying."""
    if s.op == "reshape":
        out = a.view()
        try:
            out.shape = s.attrs[0]
        except AttributeError:  # strides that NumPy cannot keep: only where a step's own check was wrong
            raise AssertionError(f"reshape {a.shape} -> {s.attrs[0]} is no view") from None
        return out
    if s.op == "transpose":
        return a.transpose(s.attrs[0])
    if s.op == "slice":
        return a[tuple(slice(*b) for b in zip(*s.attrs))]
    if s.op == "diagonal":
        out = np.diagonal(a, *s.attrs)
        out.flags.writeable = a.flags.writeable
        return out
    return np.broadcast_to(a, s.attrs[0])


# ---- strides: metadata of views


class Layout:
    """Strides (in elements) and offset of a view in its storage."""

    __slots__ = ("shape", "strides", "offset")

    def __init__(self, shape: Shape, strides: tuple[int, ...], offset: int):
        self.shape = shape
        self.strides = strides
        self.offset = offset

    @property
    def contiguous(self) -> bool:
        want = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides)):
            if n == 0:
                return True
            if n != 1 and s != want:
                return False
            want *= n
        return True

    @property
    def overlaps(self) -> bool:
        """Whether elements share memory: a dim of more than one element has stride 0."""
        return any(n > 1 and s == 0 for n, s in zip(self.shape, self.strides)) and 0 not in self.shape  # type: ignore[operator]

    def reshaped(self, shape: Shape) -> Layout | None:
        """This view in another shape of as many elements, or None where no strides can say it."""
        strides = _reshape_strides(self.shape, self.strides, shape)
        return None if strides is None else Layout(shape, strides, self.offset)

    def step(self, s: Step) -> Layout:
        """The layout of a view of this view."""
        if not isinstance(s, Movement):
            return self
        if s.op == "reshape":
            out = self.reshaped(s.attrs[0])
            assert out is not None
            return out
        if s.op == "transpose":
            return Layout(tuple(self.shape[p] for p in s.attrs[0]), tuple(self.strides[p] for p in s.attrs[0]), self.offset)
        if s.op == "slice":
            starts, stops, steps = s.attrs
            shape = tuple(max(0, -((a - b) // c)) for a, b, c in zip(starts, stops, steps))
            offset = self.offset + sum(a * n for a, n in zip(starts, self.strides))
            return Layout(shape, tuple(a * c for a, c in zip(self.strides, steps)), offset)
        if s.op == "diagonal":
            return self._diagonal(*s.attrs)
        shape = s.attrs[0]
        extra = len(shape) - len(self.shape)
        strides = tuple(0 if i < extra or self.shape[i - extra] != n else self.strides[i - extra] for i, n in enumerate(shape))
        return Layout(shape, strides, self.offset)

    def _diagonal(self, offset: int, rows: int, columns: int) -> Layout:
        n, m = self.shape[rows], self.shape[columns]
        length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))  # type: ignore[operator]
        rest = [d for d in range(len(self.shape)) if d not in (rows, columns)]
        start = offset * self.strides[columns] if offset >= 0 else -offset * self.strides[rows]
        strides = (*(self.strides[d] for d in rest), self.strides[rows] + self.strides[columns])
        return Layout((*(self.shape[d] for d in rest), length), strides, self.offset + (start if length else 0))


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Row-major strides; extents of 0 count as 1, as in torch."""
    out, n = [], 1
    for d in reversed(shape):
        out.append(n)
        n *= max(d, 1)  # type: ignore[type-var]
    return tuple(reversed(out))


def layout(base: Shape, steps: Sequence[Step]) -> Layout:
    """The layout of the view by `steps` of a contiguous whole of shape `base`."""
    at = Layout(base, contiguous_strides(base), 0)
    for s in steps:
        at = at.step(s)
    return at


def _reshape_strides(shape: Shape, strides: Sequence[int], new: Shape) -> tuple[int, ...] | None:
    """Strides of `new` over the same memory, or None: groups of dims that are contiguous among themselves may be regrouped."""
    if numel(shape) == 0:
        return tuple(strides) if shape == new else contiguous_strides(new)
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    out: list[int] = [0] * len(new)
    j = len(new) - 1
    i = len(old) - 1
    while i >= 0:
        block, stride = old[i]  # a run of dims that are contiguous among themselves: `block` elements, `stride` apart
        while i > 0 and old[i - 1][1] == old[i][1] * old[i][0]:
            i -= 1
            block *= old[i][0]
        i -= 1
        while j >= 0 and (block > 1 or new[j] == 1):
            if block % new[j]:
                return None
            out[j] = stride
            stride *= new[j]
            block //= new[j]
            j -= 1
        if block != 1:
            return None
    while j >= 0:
        if new[j] != 1:
            return None
        out[j] = out[j + 1] * new[j + 1] if j + 1 < len(new) else 1
        j -= 1
    return tuple(out)
