"""What is known of a tensor without computing it: shape, dtype, device, strides."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from ingot._tensor.devices import CPU, META, device, numbered
from ingot._tensor.extents import extents
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.types import numel
from ingot.runtime import array as arrays
from ingot.runtime.array import Array
from ingot.runtime.storage import Storage, of_its_own
from ingot.runtime.strides import Layout, layout
from ingot.runtime.tape import Version
from ingot.runtime.views import Step

if TYPE_CHECKING:
    from ingot._tensor.state import Tensor

__all__ = ["Size", "get_default_dtype", "set_default_dtype", "Described"]


class Size(tuple):
    """A shape: a tuple of ints."""

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"{dtypes.package()}.Size({list(self)})"

    def __getitem__(self, i: Any) -> Any:
        out = tuple.__getitem__(self, i)
        return Size(out) if isinstance(i, slice) else out

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))


_default_dtype = [dtypes.f32]


def get_default_dtype() -> DType:
    """The dtype of Python floats: float32 unless `set_default_dtype` says otherwise."""
    return _default_dtype[0]


def set_default_dtype(d: DType) -> None:
    """Set the dtype that Python floats become. TypeError unless it is a floating-point dtype."""
    if not isinstance(d, DType) or d.kind != "f":
        raise TypeError(f"only floating-point types are supported as the default type, not {d!r}")
    _default_dtype[0] = d


class Described:
    """The part of Tensor that needs no values."""

    __slots__ = ()

    if TYPE_CHECKING:
        _array: Array
        _storage: Storage | None
        _steps: tuple[Step, ...]
        _version_cell: Version | None
        def _here(self) -> Tensor: ...

        def clone(self) -> Tensor: ...

    @property
    def shape(self) -> Size:
        """The extents, as a Size."""
        t = self._array.type
        return Size(extents(t.shape) if t.symbolic else t.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of `dim`. IndexError if there is no such dim."""
        if dim is None:
            return self.shape
        shape = self._array.type.shape
        if not -len(shape) <= dim < len(shape):
            n = max(len(shape), 1)
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        return extents(shape)[dim] if self._array.type.symbolic else shape[dim]

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._array.type.dtype

    @property
    def device(self) -> device:
        """Where the values live; "meta" where there are none."""
        a = self._array
        return META if a.source is arrays.META else CPU if a.type.device is None else numbered(a.type.device)

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self._array.type.shape)

    def dim(self) -> int:
        """The number of dims."""
        return len(self._array.type.shape)

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        t = self._array.type
        return prod(extents(t.shape)) if t.symbolic else numel(t.shape)

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._array.type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self._array.type.dtype.itemsize

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.type.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self._array.type.dtype.kind == "f"

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self._array.type.dtype.kind == "c"

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self._array.type.dtype.is_signed

    @property
    def is_cuda(self) -> bool:
        """Whether the values are in the memory of a GPU."""
        return self._array.type.device is not None

    is_sparse = False
    _sparse = False  # of any sparse layout
    is_quantized = False
    is_mkldnn = False

    @property
    def is_meta(self) -> bool:
        """Whether this has a shape and a dtype and no values."""
        return self._array.source is arrays.META

    def is_inference(self) -> bool:
        """False: tensors made in inference mode are ordinary ones."""
        return False

    # ---- views: strides are metadata

    def _layout(self) -> Layout:
        s = self._storage
        return layout(self._array.type.shape if s is None else s.base.type.shape, () if s is None else self._steps)

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of `dim`."""
        strides = self._layout().strides
        if self._array.type.symbolic:
            strides = extents(strides)
        if dim is None:
            return strides
        self.size(dim)
        return strides[dim]

    def storage_offset(self) -> int:
        """Where in its storage a view begins, in elements."""
        offset = self._layout().offset
        return offset if type(offset) is int else extents((offset,))[0]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements of this view lie in row-major order in its storage."""
        return self._storage is None or self._layout().contiguous

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """This tensor if it is contiguous, else a copy that is."""
        return self if self.is_contiguous() else self.clone()  # type: ignore[return-value]

    def data_ptr(self) -> int:
        """The address of the first element; computes the tensor. Tensors that do not share memory have different ones."""
        t = self._here()
        s = t._storage
        if s is None:
            t._array = of_its_own(t._array, t)
            return arrays.ready(t._array).address
        if s.exposed is None:
            s.base = of_its_own(s.base, s)
        return arrays.ready(s.base).address + self._layout().offset * self.itemsize

    @property
    def _version(self) -> int:
        cell = self._here()._version_cell
        return 0 if cell is None else cell.n

    def is_set_to(self, tensor: Tensor) -> bool:
        """Whether both show the same memory in the same way."""
        a, b = self._layout(), tensor._layout()
        storage = self._here()._storage
        same = self is tensor or (storage is not None and storage is tensor._here()._storage)
        return same and (a.shape, a.strides, a.offset) == (b.shape, b.strides, b.offset)
