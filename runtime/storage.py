"""Storage: what a tensor and its views share. Views and in-place operations are turned into values here.

A Storage holds the present value of the whole, `base`. A view is a chain of *steps* from it (views.py): movement ops (reshape,
transpose, slice, broadcast), diagonals, strides, bits as another dtype, `Detach` and `LeafStep`. Reading a stale view applies its steps
again; writing to a view goes through them backwards: each step puts the new part back into the value before it. All of that is recorded
like anything else, so gradients through views and in-place writes are right without rules of their own.

Storage that can be written from outside is *exposed* (shared with NumPy): reads take a snapshot, writes go through at once.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from ingot.ir.dtypes import by_numpy
from ingot.ir.types import numel, tensor_type
from ingot.runtime import array as arrays
from ingot.runtime import epoch
from ingot.runtime.array import Array
from ingot.runtime.memory import Buffer
from ingot.runtime.recorder import here
from ingot.runtime.strides import layout
from ingot.runtime.tape import Edge, Pair, Version, overwritten
from ingot.runtime.views import Detach, LeafStep, Movement, Picked, Step, put_back, put_by_position, walk

__all__ = ["NEVER", "Storage", "of_its_own"]

_generations = count(1)
NEVER = float("nan")  # a generation that equals no other: exposed storage is read anew each time
_HELD_ONCE = 2  # what `sys.getrefcount` says of a buffer that one Array has
SNAPSHOT_LIMIT = 4 << 20  # bytes; what is larger is not copied, its readers run at once instead


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
            if grad:
                self._remember(present, steps, cur)
            cur = _put(present, steps, cur)
        finally:
            rec.grad_enabled = was
        edge = self.edge
        if grad:
            edge = overwritten("CopySlices" if steps else "CopyBackwards", cur[1], self.edge, cur[0].type)
        else:
            cur = (rec.with_history_of(cur[0], self.base), None)
        counts = not any(isinstance(s, Detach) and s.data for s in steps)
        self.commit(cur[0], edge, counts)

    @staticmethod
    def _remember(present: Pair, steps: Sequence[Step], new: Pair) -> None:
        """Have the tensor that was detached last on the way know the history of what is written to it."""
        at = max([i for i, s in enumerate(steps) if isinstance(s, Detach)], default=None)
        if at is None:
            return
        step: Any = steps[at]
        if new[1] is None and step.history is None:
            return
        whole = walk(present, steps[: at + 1])
        value, edge = _put(whole, steps[at + 1 :], new)
        step.history = overwritten("CopySlices" if steps[at + 1 :] else "CopyBackwards", edge, step.history, value.type)

    def _present(self) -> Pair:
        """The value of the whole as it is now, fit to be recorded."""
        if self.exposed is not None and not self._closed():
            return self._snapshot(())
        return self.base, self.edge

    def commit(self, base: Array, edge: Edge | None, counts: bool = True) -> None:
        """Set the value of the whole. Views notice at their next read."""
        if self.exposed is not None and base.type.device is None and not self._closed():
            value = arrays.to_numpy(base)  # runs what is pending
            arrays.to_numpy(self.base)[...] = value
        else:
            self.base = base if base.type.device is None else here.recorder.in_place(self.base, base)
            self.generation = next(_generations) if self.exposed is None else NEVER
        self._follow(edge)
        if counts:
            self.version.n += 1

    def renew(self) -> None:
        """Make all views stale."""
        self.generation = next(_generations)

    def detach(self) -> None:
        """Forget the history of the whole."""
        self.base = here.recorder.with_edge(self.base, None)
        self._follow(None)
        if self.generation == self.generation:
            self.renew()

    def _follow(self, edge: Edge | None) -> None:
        if self.watched and (edge is None) is not (self.edge is None):
            epoch.bump()  # a compiled function may have seen whether there was a history
        self.edge = edge

    # ---- memory that others see

    def _closed(self) -> bool:
        """Whether the NumPy array that this storage was shared with is gone; then it is private again."""
        if self.exposed is True or self.exposed() is not None:
            return False
        self.exposed = None
        self.generation = next(_generations)
        return True

    def shared_or_generation(self) -> float:
        """The generation of the value; NEVER where the memory is seen from outside."""
        if self.exposed is not None:
            self._closed()
        return self.generation

    def _snapshot(self, steps: Sequence[Step], own: bool = False) -> Pair:
        if self.base.type.device is not None:
            here.recorder.run_soon = True
            return walk((self.base, self.edge), steps)
        if not steps and (own or self.base.type.nbytes <= SNAPSHOT_LIMIT):
            return arrays.copied(self.base), self.edge
        view = arrays.to_numpy(self.base)
        n, t = 0, self.base.type
        if self.edge is None:  # steps on the memory itself: only what the view shows is copied
            for s in steps:
                if isinstance(s, LeafStep):
                    break
                if isinstance(s, Movement):
                    view = _numpy_step(view, s)
                n += 1
        if view.nbytes > SNAPSHOT_LIMIT and not own and view.size == numel(t.shape) and not here.recorder.tracing:
            here.recorder.run_soon = True
            return walk((self.base, self.edge), steps)
        copied = arrays.from_numpy(tensor_type(by_numpy(view.dtype), view.shape), view)
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
            if sys.getrefcount(self.base) > known or sys.getrefcount(self.base.buffer) > _HELD_ONCE:
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


_NAMED: weakref.WeakKeyDictionary[Buffer, weakref.ref] = weakref.WeakKeyDictionary()


def of_its_own(a: Array, holder: Any) -> Array:
    """`a`, in memory that no holder but this one (a Storage, or a tensor without) has been known by the address of: else a copy of it.

    Values that are equal may lie in the same memory; whoever compares addresses takes them for one tensor.
    """
    buffer = arrays.ready(a)
    if a.type.device is not None:
        return a
    known = _NAMED.get(buffer)
    other = None if known is None else known()
    if other is not None and other is not holder and getattr(other, "_storage", None) is not holder:
        a = arrays.copied(a)
        buffer = arrays.ready(a)
    _NAMED[buffer] = weakref.ref(holder)
    return a


def _put(present: Pair, steps: Sequence[Step], part: Pair) -> Pair:
    """`present` with its view by `steps` replaced by `part`."""
    if any(isinstance(s, Picked) or (isinstance(s, Movement) and s.op == "broadcast") for s in steps):
        return _put_shared(present, steps, part)
    return put_back(present, steps, part)


def _put_shared(present: Pair, steps: Sequence[Step], part: Pair) -> Pair:
    """What `put_back` does, for views whose elements may share memory: by position. RuntimeError where a dim is expanded.

    Of elements that share memory otherwise (windows, strides) and are written at once, the last one stays.
    """
    t = present[0].type
    there = layout(t.shape, steps)
    if there.overlaps:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    moves = [s for s in steps if isinstance(s, Movement)]
    if any(s.op in ("bits", "view_as_real", "view_as_complex") for s in moves):
        if any(s.op == "broadcast" for s in moves) or not there.distinct:
            raise RuntimeError("unsupported operation: a write through an expanded tensor that is read as another dtype; clone() it first")
        return put_back(present, steps, part)
    if len(moves) == len(steps):
        return put_by_position(present, moves, part)
    return put_by_position((present[0], None), moves, (part[0], None))[0], present[1]


def _numpy_step(a: np.ndarray, s: Movement) -> np.ndarray:
    """A movement step on NumPy memory, without copying."""
    if s.op == "reshape":
        out = a.reshape(s.attrs[0])
        if a.size and not np.may_share_memory(a, out):  # strides that NumPy cannot keep: only where a step's own check was wrong
            raise AssertionError(f"reshape {a.shape} -> {s.attrs[0]} is no view")
        return out
    if s.op == "transpose":
        return a.transpose(s.attrs[0])
    if s.op == "slice":
        return a[tuple(slice(*b) for b in zip(*s.attrs))]
    if s.op == "bits":
        return a.view(s.attrs[0].numpy)
    if s.op == "view_as_real":
        half = a.itemsize // 2
        return np.lib.stride_tricks.as_strided(a.real, (*a.shape, 2), (*a.strides, half), writeable=a.flags.writeable)
    if s.op == "view_as_complex":
        return a.view(by_numpy(a.dtype).to_complex().numpy)[..., 0]
    if s.op == "as_strided":
        shape, strides, offset = s.attrs
        return np.lib.stride_tricks.as_strided(a.reshape(-1)[offset:], shape, tuple(n * a.itemsize for n in strides))
    if s.op == "windows":
        axis, count, size, step = s.attrs
        strides = (*a.strides[:axis], step * a.strides[axis], *a.strides[axis + 1 :], a.strides[axis])
        shape = (*a.shape[:axis], count, *a.shape[axis + 1 :], size)
        return np.lib.stride_tricks.as_strided(a, shape, strides, writeable=a.flags.writeable)
    if s.op == "diagonal":
        out = np.diagonal(a, *s.attrs)
        out.flags.writeable = a.flags.writeable
        return out
    return np.broadcast_to(a, s.attrs[0])
