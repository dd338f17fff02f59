"""Strides: where the elements of a view lie in its storage. Metadata only, no values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ingot.ir.dtypes import DType
from ingot.ir.size import equal, larger, smaller
from ingot.ir.types import Shape
from ingot.runtime.views import Movement, Step

__all__ = ["Layout", "contiguous_strides", "layout"]


class Layout:
    """Strides (in elements) and offset of a view in its storage."""

    __slots__ = ("shape", "strides", "offset")

    def __init__(self, shape: Shape, strides: tuple[int, ...], offset: int):
        self.shape = shape
        self.strides = strides
        self.offset = offset

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in row-major order, without gaps."""
        want = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides)):
            if n == 0:
                return True
            if s != want and n != 1:
                return False
            want *= n
        return True

    @property
    def overlaps(self) -> bool:
        """Whether elements share memory: a dim of more than one element has stride 0."""
        return any(s == 0 and n > 1 for n, s in zip(self.shape, self.strides)) and 0 not in self.shape  # type: ignore[operator]

    @property
    def distinct(self) -> bool:
        """Whether it is clear from the strides that no two elements share memory."""
        reach: Any = 0
        for s, n in sorted((s, n) for n, s in zip(self.shape, self.strides) if n > 1):
            if s <= reach:
                return False
            reach += (n - 1) * s
        return True

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
            shape = tuple(larger(0, -((a - b) // c)) for a, b, c in zip(starts, stops, steps))
            offset = self.offset + sum(a * n for a, n in zip(starts, self.strides))
            return Layout(shape, tuple(a * c for a, c in zip(self.strides, steps)), offset)
        if s.op == "view_as_real":
            return Layout((*self.shape, 2), (*(2 * n for n in self.strides), 1), 2 * self.offset)
        if s.op == "view_as_complex":
            return Layout(self.shape[:-1], tuple(n // 2 for n in self.strides[:-1]), self.offset // 2)
        if s.op == "diagonal":
            return self._diagonal(*s.attrs)
        if s.op == "as_strided":
            return Layout(*s.attrs)
        if s.op == "windows":
            axis, count, size, step = s.attrs
            rest = self.strides[axis + 1 :]
            shape = (*self.shape[:axis], count, *self.shape[axis + 1 :], size)
            return Layout(shape, (*self.strides[:axis], step * self.strides[axis], *rest, self.strides[axis]), self.offset)
        if s.op == "bits":
            return self._bits(*s.attrs)
        shape = s.attrs[0]
        extra = len(shape) - len(self.shape)
        strides = tuple(0 if i < extra or self.shape[i - extra] != n else self.strides[i - extra] for i, n in enumerate(shape))
        return Layout(shape, strides, self.offset)

    def _bits(self, dtype: DType, before: DType) -> Layout:
        old, new = before.itemsize, dtype.itemsize
        if old == new:
            return self
        strides = tuple(s * old // new for s in self.strides[:-1])
        return Layout((*self.shape[:-1], self.shape[-1] * old // new), (*strides, 1), self.offset * old // new)

    def _diagonal(self, offset: int, rows: int, columns: int) -> Layout:
        n, m = self.shape[rows], self.shape[columns]
        length = larger(0, smaller(n, m - offset) if offset >= 0 else smaller(n + offset, m))
        rest = [d for d in range(len(self.shape)) if d not in (rows, columns)]
        start = offset * self.strides[columns] if offset >= 0 else -offset * self.strides[rows]
        strides = (*(self.strides[d] for d in rest), self.strides[rows] + self.strides[columns])
        return Layout((*(self.shape[d] for d in rest), length), strides, self.offset + (start if length else 0))


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Row-major strides; extents of 0 count as 1, as in torch."""
    out: list[Any] = []
    n: Any = 1
    for d in reversed(shape):
        out.append(n)
        n *= larger(d, 1)
    return tuple(reversed(out))


def layout(base: Shape, steps: Sequence[Step]) -> Layout:
    """The layout of the view by `steps` of a contiguous whole of shape `base`."""
    at, whole = Layout(base, contiguous_strides(base), 0), True
    for s in steps:
        whole = whole and isinstance(s, Movement) and s.op == "reshape"
        if whole:  # it has any other shape as well, though symbols may not say so
            at = Layout(s.attrs[0], contiguous_strides(s.attrs[0]), 0)  # type: ignore[attr-defined]
        else:
            at = at.step(s)
    return at


def _reshape_strides(shape: Shape, strides: Sequence[int], new: Shape) -> tuple[int, ...] | None:
    """Strides of `new` over the same memory, or None: groups of dims that are contiguous among themselves may be regrouped."""
    if equal(prod(shape), 0):
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
        while j >= 0 and (block != 1 or new[j] == 1):
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
