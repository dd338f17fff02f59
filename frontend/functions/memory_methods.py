"""Methods of tensors about where they live, how they lie in memory, and how they are made into others in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._refused import refused
from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot._tensor.state import wrap
from ingot.functions import constants
from ingot.functions.common import dtype_name, named, named_arg, shape_arg
from ingot.functions.numpy_names import methods
from ingot.ir.types import numel
from ingot.runtime.array import ready

__all__ = ["TypedStorage", "UntypedStorage", "is_storage"]


class Storage:
    """The memory that views share: looked at, not made."""

    _typed: bool

    def __init__(self, tensor: Tensor):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{type(self).__name__}: a storage is what Tensor.storage() gives, and is not made of {type(tensor).__name__}")
        self._tensor = tensor
        self.dtype = tensor.dtype if self._typed else ingot.uint8
        self.device = tensor.device

    def _count(self) -> int:
        s = self._tensor._storage
        return self._tensor.numel() if s is None else numel(s.base.type.shape)

    def data_ptr(self) -> int:
        """The address of its first byte."""
        t = self._tensor
        return t.data_ptr() - t.storage_offset() * t.element_size()

    def nbytes(self) -> int:
        """Its bytes."""
        return self._count() * self._tensor.element_size()

    def element_size(self) -> int:
        """Bytes of an element."""
        return self._tensor.element_size() if self._typed else 1

    def size(self) -> int:
        """Its elements; of one that has no type, its bytes."""
        return self._count() if self._typed else self.nbytes()

    __len__ = size

    def untyped(self) -> Storage:
        """It without a type."""
        return UntypedStorage(self._tensor)

    def _elements(self) -> Tensor:
        """All of it as a vector, which shares it."""
        t = self._tensor.detach()
        s = t._storage
        if s is None:
            return t.reshape(-1)
        base = wrap((s.base, None))
        base._storage, base._steps, base._generation = s, (), s.generation
        return base.reshape(-1)

    def _flat(self) -> Tensor:
        return self._elements() if self._typed else self._elements().view(ingot.uint8)

    def tolist(self) -> list[Any]:
        """Its elements, or bytes."""
        return self._flat().tolist()

    def __getitem__(self, i: Any) -> Any:
        return self._flat()[i].item() if isinstance(i, int) else self._flat()[i].tolist()

    def __iter__(self) -> Any:
        return iter(self.tolist())

    def __repr__(self) -> str:
        return f"<ingot storage of {self.size()} {'elements of ' + self.dtype.torch_name if self._typed else 'bytes'}>"


class TypedStorage(Storage):
    """What `Tensor.storage` gives: elements.

    >>> isinstance(ingot.ones(2).storage(), ingot.TypedStorage)
    True
    """

    _typed = True


class UntypedStorage(Storage):
    """What `Tensor.untyped_storage` gives: bytes.

    >>> ingot.ones(2).untyped_storage().nbytes()
    8
    """

    _typed = False


def is_storage(obj: Any) -> bool:
    """Whether `obj` is what `Tensor.storage` gives.

    >>> ingot.is_storage(ingot.ones(1).untyped_storage()), ingot.is_storage(ingot.ones(1))
    (True, False)
    """
    return isinstance(obj, Storage)


def _storage(self: Tensor) -> Any:
    """The memory of this tensor and of all that share it, by elements."""
    return TypedStorage(self)


def _untyped_storage(self: Tensor) -> Any:
    """The memory of this tensor and of all that share it, by bytes."""
    return UntypedStorage(self)


def _storage_type(self: Tensor) -> type:
    """The class of what `storage` gives."""
    return TypedStorage


def _get_device(self: Tensor) -> int:
    """The number of the GPU that the tensor lives on; -1 for the CPU."""
    index = self._array.type.device
    return -1 if index is None else index


def _false(self: Tensor) -> bool:
    """False."""
    return False


def _dense_dim(self: Tensor) -> int:
    """The rank: all dims are dense."""
    return self.ndim


def _sparse_dim(self: Tensor) -> int:
    """0: no dim is sparse."""
    return 0


def _to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool = True) -> Tensor:
    """This tensor, which is dense, in `dtype` if one is given."""
    return self if dtype is None else self.to(dtype)


def _of_sparse(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{name} expected sparse tensor layout but got Strided: make one with to_sparse()")

    return method


def _to_sparse(
    self: Tensor, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None, dense_dim: int | None = None
) -> Tensor:
    """What of this tensor is not zero, in the layout `ingot.sparse_coo` or another: see `ingot.sparse`. Reads the values."""
    return ingot.sparse.making.to_sparse(self, sparse_dim, layout=layout, blocksize=blocksize, dense_dim=dense_dim)


def _to_sparse_csr(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """What of this matrix is not zero, in the layout CSR."""
    return _to_sparse(self, layout=constants.sparse_csr, dense_dim=dense_dim)


def _to_sparse_csc(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """What of this matrix is not zero, in the layout CSC."""
    return _to_sparse(self, layout=constants.sparse_csc, dense_dim=dense_dim)


def _to_sparse_bsr(self: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """The blocks of this matrix that are not zero, in the layout BSR."""
    return _to_sparse(self, layout=constants.sparse_bsr, blocksize=blocksize, dense_dim=dense_dim)


def _to_sparse_bsc(self: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """The blocks of this matrix that are not zero, in the layout BSC."""
    return _to_sparse(self, layout=constants.sparse_bsc, blocksize=blocksize, dense_dim=dense_dim)


def _sparse_mask(self: Tensor, mask: Tensor) -> Tensor:
    """The elements of this tensor where the sparse tensor `mask` has values, in its layout."""
    return ingot.sparse.methods.masked_by(self, mask)


def _dim_order(self: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dims in the order in which they lie in memory, the slowest first."""
    strides = self.stride()
    return tuple(sorted(range(self.ndim), key=lambda d: (-strides[d], d)))


def _is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether both have one shape."""
    return tuple(self.shape) == tuple(other.shape)


def _by_python(name: str, self: Tensor, function: Callable[..., Any], *others: Tensor) -> Tensor:
    if self.requires_grad:
        raise RuntimeError(f"Can't call {name}() on Tensor that requires grad. Use tensor.detach().{name}() instead.")
    values = [np.broadcast_to(np.asarray(t.tolist(), dtype=object), tuple(self.shape)).reshape(-1) for t in (self, *others)]
    made = np.array([function(*row) for row in zip(*values)], dtype=self.dtype.numpy).reshape(tuple(self.shape))
    return self.copy_(from_array(made, self.dtype))


def _apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace every element x by callable(x), a Python function: slow. In place. RuntimeError for a tensor that requires gradients."""
    return _by_python("apply_", self, callable)


def _map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every element x by callable(x, y), y that of `tensor`, a Python function: slow. In place."""
    return _by_python("map_", self, callable, tensor)


def _map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """`map_` with the elements of two other tensors."""
    return _by_python("map2_", self, callable, x, y)


def _resize_(self: Tensor, *sizes: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Give this tensor another shape, of the first elements in memory; what is new is zero. In place.

    RuntimeError for a tensor that requires gradients. Views that share its memory keep the old one.
    """
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = shape_arg(sizes if size is None else named_arg("resize_", sizes, (size,)))
    count, have = numel(shape), self.numel()
    flat = self.detach().reshape(-1)
    flat = flat[:count] if count <= have else ingot.cat([flat, flat.new_zeros(count - have)])
    self.data = flat.reshape(shape).clone()
    return self


def _resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `other`."""
    return _resize_(self, tuple(other.shape))


def _resize(self: Tensor, *sizes: Any) -> Tensor:
    """`resize_` of a copy, with a UserWarning: it is an old name."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    return _resize_(self.detach().clone(), *sizes)


def _resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to the shape of `tensor`."""
    return _resize(self, tuple(tensor.shape))


def _set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Make this tensor show the memory of `source`, a tensor or a storage, from an offset on, in this shape. In place.

    Without a source it becomes empty. RuntimeError for another dtype.
    """
    if source is None:
        self.data = ingot.empty(0, dtype=self.dtype)
        return self
    of = source._elements() if isinstance(source, Storage) else source
    if of.dtype is not self.dtype:
        raise RuntimeError(f"Could not set tensor of type {dtype_name(of.dtype)} to a tensor of type {dtype_name(self.dtype)}")
    whole = isinstance(source, Storage)
    if whole and size is None:
        size = (of.numel() - storage_offset,)
    if size is not None:
        shape = shape_arg((size,) if not isinstance(size, int) else (size,))
        if stride is None:
            stride, step = [], 1
            for n in reversed(shape):
                stride.insert(0, step)
                step *= max(n, 1)
        of = of.detach().as_strided(shape, tuple(stride), storage_offset)
    self.data = of
    return self


def _new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this dtype: of these extents, whose values are not defined, or of the values of a sequence or an array."""
    if len(args) == 1 and not isinstance(args[0], (int, ingot.Size)):
        return args[0].to(self.dtype) if isinstance(args[0], Tensor) else self.new_tensor(args[0])
    return self.new_empty(*(args or (0,)))


def _new_empty_strided(self: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """`ingot.empty_strided` in this dtype."""
    return ingot.empty_strided(size, stride, **{"dtype": self.dtype, **options})


def _as_subclass(self: Tensor, cls: type) -> Any:
    """This tensor as an instance of a subclass of Tensor, with the same memory and history. TypeError for another class."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass takes a subclass of Tensor, not {cls}")
    base = self.view_as(self)
    out = wrap((base._array, base._edge), cls)
    out._storage, out._steps, out._generation, out._version_cell = base._storage, base._steps, base._generation, base._version_cell
    return out


def _module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What `load_state_dict` makes of this parameter and the saved `other`: the latter's values, or with `assign` the latter itself."""
    return other.detach() if assign else self.copy_(other).detach()


def _record_stream(self: Tensor, stream: Any) -> None:
    """Tell that work in a CUDA stream reads or writes this tensor: its memory is used for others once that has come as far.

    Nothing for a tensor of the CPU.
    """
    if self.is_cuda:
        ready(self._now()).used_on(stream._stream)  # type: ignore[attr-defined]


def _dlpack(self: Tensor, **options: Any) -> Any:
    """A DLPack capsule of the tensor's memory: see `ingot.to_dlpack`. BufferError for a tensor that requires gradients."""
    from ingot.functions.dlpack import export_capsule

    return export_capsule(self, **options)


def _array_namespace(self: Tensor, *, api_version: str | None = None) -> Any:
    """The module of the array API standard's names: `ingot.array_api`. ValueError for a version that is not there."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12"):
        raise ValueError(f"the array API of version {api_version!r} is not there; 2023.12 is")
    return ingot.array_api


def _hardshrink(self: Tensor, lambd: float = 0.5) -> Tensor:
    """`nn.functional.hardshrink`."""
    return ingot.nn.functional.hardshrink(self, lambd)


def _prelu(self: Tensor, weight: Tensor) -> Tensor:
    """`nn.functional.prelu`."""
    return ingot.nn.functional.prelu(self, weight)


_SPARSE = (
    "ccol_indices coalesce col_indices crow_indices indices is_coalesced row_indices smm resize_as_sparse_ sparse_resize_ "
    "sparse_resize_and_clear_ sspaddmm values"
)  # fmt: skip
_OTHERS = {
    "reinforce": "gradients of samples come from ingot.distributions, by log_prob or rsample",
    "to_mkldnn": "compiled code chooses its own layouts",
}  # fmt: skip


def _cuda_interface(self: Tensor) -> Any:
    if not self.is_cuda:
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} If CUDA data is required use tensor.cuda() to copy "
            "tensor to device memory."
        )
    from ingot.functions.device_memory import interface

    return interface(self)


def _is_cpu(self: Tensor) -> bool:
    """Whether the values are in the host's memory."""
    return self.device.type == "cpu"


METHODS = methods(
    apply_=_apply_, as_subclass=_as_subclass, dense_dim=_dense_dim, dim_order=_dim_order, get_device=_get_device,
    hardshrink=_hardshrink, is_same_size=_is_same_size, map2_=_map2_, map_=_map_, module_load=_module_load, new=_new,
    new_empty_strided=_new_empty_strided, prelu=_prelu, record_stream=_record_stream, resize=_resize, resize_=_resize_,
    resize_as=_resize_as, resize_as_=_resize_as_, set_=_set_, sparse_dim=_sparse_dim, storage=_storage, storage_type=_storage_type,
    sparse_mask=_sparse_mask, to_dense=_to_dense, to_sparse=_to_sparse, to_sparse_bsc=_to_sparse_bsc, to_sparse_bsr=_to_sparse_bsr,
    to_sparse_coo=_to_sparse, to_sparse_csc=_to_sparse_csc, to_sparse_csr=_to_sparse_csr, untyped_storage=_untyped_storage,
    __dlpack__=_dlpack, __array_namespace__=_array_namespace,
)  # fmt: skip
METHODS |= {name: named(_of_sparse(name), name, f"`{name}` of a sparse tensor. RuntimeError for a dense one.") for name in _SPARSE.split()}
METHODS |= {name: refused(f"Tensor.{name}", reason) for name, reason in _OTHERS.items()}
METHODS |= {
    "is_distributed": _false,
    "is_cpu": property(_is_cpu),
    "layout": property(lambda self: constants.strided, doc="`ingot.strided`."),
    "grad_dtype": property(lambda self: self.dtype, doc="The dtype of this tensor's gradient: its own."),
    "const_data_ptr": Tensor.data_ptr,
    "__cuda_array_interface__": property(
        _cuda_interface, doc="What CuPy, Numba and others read a tensor's memory on a GPU by. AttributeError for a tensor elsewhere."
    ),
}
