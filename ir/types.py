"""Shapes and tensor types. A dimension is an integer, or a size with symbols in it (ir/size.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingot.ir.dtypes import ABSENT, DType
from ingot.ir.size import ShapeError, Size, Undecided, equal
from ingot.ir.struct import frozen

__all__ = ["Dim", "Shape", "TensorType", "broadcast_shapes", "numel", "shape_text", "tensor_type"]


if TYPE_CHECKING:
    Dim = Any  # most code computes with the dims of graphs that have no symbols; checkers would ask for a test at each
else:
    Dim = int | Size
Shape = tuple[Dim, ...]


@frozen
class TensorType:
    """dtype and shape of a value; `str(t)` is its text form, as in `f32[B,10]`.

    device: the number of the GPU whose memory holds the value; None for the host's, and in graphs, which know no device
    """

    dtype: DType
    shape: Shape
    device: int | None
    symbolic: bool  # whether a dim is a size with symbols

    def __init__(self, dtype: DType, shape: Shape, device: int | None = None):
        if dtype.kind == ABSENT:
            raise TypeError(f"there are no tensors of dtype {dtype.torch_name}")
        self.__dict__.update(dtype=dtype, shape=shape, device=device, symbolic=Size in map(type, shape))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorType):
            return NotImplemented
        return self.dtype is other.dtype and self.shape == other.shape and self.device == other.device

    def __hash__(self) -> int:
        return hash((self.dtype, self.shape, self.device))

    def __repr__(self) -> str:
        return f"TensorType({self.dtype!r}, {self.shape!r}, {self.device!r})"

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
        return tensor_type(dtype, self.shape) if self.device is None else tensor_type(dtype, self.shape).on(self.device)

    def with_shape(self, shape: Shape) -> TensorType:
        return tensor_type(self.dtype, shape) if self.device is None else tensor_type(self.dtype, shape).on(self.device)

    def on(self, device: int | None) -> TensorType:
        """The same in the memory of a GPU, or in that of the host."""
        if device == self.device:
            return self
        if device is None:
            return tensor_type(self.dtype, self.shape)
        key = (self.dtype, self.shape, device)
        found = _ON_DEVICES.get(key)
        if found is None:
            if len(_ON_DEVICES) > 65536:
                _ON_DEVICES.clear()
            found = _ON_DEVICES[key] = TensorType(self.dtype, self.shape, device)
        return found

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


_INTERNED: dict[tuple[DType, Shape], TensorType] = {}
_ON_DEVICES: dict[tuple[DType, Shape, int], TensorType] = {}


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
    """The common shape under trailing-aligned broadcasting. ShapeError if there is none, Undecided where the symbols leave it open."""
    rank = max((len(s) for s in shapes), default=0)
    out: list[Dim] = [1] * rank
    for s in shapes:
        for i, d in enumerate(s, rank - len(s)):
            if d != 1:
                if out[i] == 1 or out[i] == d:
                    out[i] = d
                elif isinstance(d, Size) or isinstance(out[i], Size):
                    out[i] = _one_of(out[i], d, shapes)
                else:
                    raise ShapeError(_apart(shapes))
    return tuple(out)


def _one_of(a: Dim, b: Dim, shapes: tuple[Shape, ...]) -> Dim:
    """What two dims that are written differently broadcast to: equal ones to either, 1 to the other."""
    same = equal(a, b)
    if same or equal(b, 1):
        return a
    if equal(a, 1):
        return b
    raise ShapeError(_apart(shapes)) if same is False else Undecided(_apart(shapes), a, b, equal=True)


def _apart(shapes: tuple[Shape, ...]) -> str:
    return "shapes do not broadcast: " + " and ".join(shape_text(t) for t in shapes)
