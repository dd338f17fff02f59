"""Shapes and tensor types. A dimension is an integer, or a size with symbols in it (ir/size.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingot.ir.dtypes import DType
from ingot.ir.size import ShapeError, Size

__all__ = ["Dim", "Shape", "TensorType", "broadcast_shapes", "numel", "shape_text", "tensor_type"]


if TYPE_CHECKING:
    Dim = Any  # most code computes with the dims of graphs that have no symbols; checkers would ask for a test at each
else:
    Dim = int | Size
Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class TensorType:
    """dtype and shape of a value; `str(t)` is its text form, as in `f32[B,10]`."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> Dim:
        return numel(self.shape)

    @property
    def nbytes(self) -> Dim:
        return numel(self.shape) * self.dtype.itemsize

    def with_dtype(self, dtype: DType) -> TensorType:
        return tensor_type(dtype, self.shape)

    def with_shape(self, shape: Shape) -> TensorType:
        return tensor_type(self.dtype, shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


_INTERNED: dict[tuple[DType, Shape], TensorType] = {}


def tensor_type(dtype: DType, shape: Shape) -> TensorType:
    """The TensorType of (dtype, shape), interned: equal types are mostly one object."""
    key = (dtype, shape)
    found = _INTERNED.get(key)
    if found is None:
        if len(_INTERNED) > 65536:
            _INTERNED.clear()
        found = _INTERNED[key] = TensorType(dtype, shape)
    return found


def numel(shape: Shape) -> Dim:
    """Number of elements of a shape."""
    n = 1
    for d in shape:
        n = n * d
    return n


def shape_text(shape: Shape) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape under trailing-aligned broadcasting. ShapeError if there is none."""
    rank = max((len(s) for s in shapes), default=0)
    out: list[Dim] = [1] * rank
    for s in shapes:
        for i, d in enumerate(s, rank - len(s)):
            if d != 1:
                if out[i] != 1 and out[i] != d:
                    raise ShapeError("shapes do not broadcast: " + " and ".join(shape_text(t) for t in shapes))
                out[i] = d
    return tuple(out)
