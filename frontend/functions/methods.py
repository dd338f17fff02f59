"""Tensor's methods and properties: the functions of this package under their names, and in-place twins.

A method `name` is the function `name` with the tensor as first argument; `name_` writes the function's result into the
tensor. What differs (shapes given as separate arguments) is spelled out here.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot import printing
from ingot._tensor.recording import from_array
from ingot._tensor.state import wrap
from ingot.autograd import engine
from ingot.functions import (
    arrange,
    binary,
    bits,
    complex,
    constants,
    conversion,
    creation,
    cumulative,
    exponentials,
    extrema,
    factor,
    from_data,
    gamma,
    incomplete_gamma,
    index,
    integers,
    join,
    lu,
    masks,
    matmul,
    matrix_exponential,
    memory_methods,
    norm,
    reduce,
    reflections,
    search,
    select,
    shape,
    solvers,
    sort,
    spectral,
    statistics,
    strided,
    subscript,
    systems,
    typeinfo,
    unary,
)
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    before,
    broadcast_shapes,
    cast,
    dtypes,
    filler,
    is_number,
    named_arg,
    scalar,
    shape_arg,
    store,
)
from ingot.functions.numpy_names import with_numpy_names
from ingot.functions.operators import named
from ingot.runtime.recorder import here

__all__: list[str] = []

# functions that are methods as they are
METHODS: dict[Any, str] = {
    unary: " ".join(unary.__all__),
    binary: " ".join(n for n in binary.__all__ if n != "rsub"),
    select: "addcdiv addcmul allclose clamp clamp_max clamp_min clip equal isclose lerp",
    reduce: " ".join(n for n in reduce.__all__ if n not in ("std_mean", "var_mean")),
    extrema: "aminmax max min",
    exponentials: " ".join(exponentials.__all__),
    sort: " ".join(sort.__all__),
    spectral: "istft stft",
    statistics: "corrcoef cov histogram mode",
    bits: "frexp nextafter",
    integers: "gcd lcm",
    gamma: "i0 mvlgamma",
    incomplete_gamma: "igamma igammac",
    norm: "renorm",
    factor: "cholesky pinverse qr svd",
    lu: "lu lu_solve",
    solvers: "cholesky_inverse cholesky_solve triangular_solve",
    systems: "det inverse logdet matrix_power slogdet",
    cumulative: "cummax cummin cumprod cumsum diff logcumsumexp",
    matmul: "addbmm addmm addmv addr baddbmm bmm cross dot ger inner kron matmul mm mv outer trace vdot",
    matrix_exponential: "matrix_exp",
    reflections: "geqrf orgqr ormqr",
    index: "gather index_add index_copy index_fill index_reduce index_select put scatter scatter_add scatter_reduce take take_along_dim",
    masks: "masked_fill masked_scatter masked_select",
    subscript: "index_put index_put_",
    search: "argwhere bincount histc nonzero nonzero_static unique unique_consecutive",
    join: "chunk dsplit hsplit split_with_sizes tensor_split unbind vsplit",
    shape: "broadcast_to diagonal expand flatten movedim moveaxis narrow ravel select squeeze swapaxes swapdims t transpose "
    "unflatten unfold unsqueeze view",
    strided: "as_strided as_strided_scatter",
    arrange: "diag diag_embed diagflat fliplr flipud repeat repeat_interleave roll rot90 "
    "tril triu diagonal_scatter select_scatter slice_scatter",
    creation: "new_empty new_full new_ones new_zeros",
    from_data: "new_tensor",
    typeinfo: "is_nonzero",
    complex: "adjoint conj conj_physical is_conj is_neg resolve_conj resolve_neg",
}

# functions with an in-place twin `name_`
INPLACE: dict[Any, str] = {
    unary: " ".join(n for n in unary.__all__ if not n.startswith("is") and n not in ("positive", "signbit")),
    binary: " ".join(n for n in binary.__all__ if n not in ("rsub", "fmax", "fmin", "maximum", "minimum", "logaddexp", "logaddexp2")),
    select: "addcdiv addcmul clamp clamp_max clamp_min clip lerp",
    cumulative: "cumprod cumsum",
    matmul: "addbmm addmm addmv addr baddbmm",
    integers: "gcd lcm",
    bits: "nextafter",
    gamma: "i0 mvlgamma",
    incomplete_gamma: "igamma igammac",
    norm: "renorm",
    index: "index_add index_copy index_fill index_reduce put scatter scatter_add scatter_reduce",
    masks: "masked_fill masked_scatter",
    arrange: "tril triu",
    complex: "conj_physical",
}


def in_place(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The method that writes `function`'s result into the tensor: RuntimeError where dtype or shape do not fit."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if "out" in kwargs:
            raise TypeError(f"{name}_() got an unexpected keyword argument 'out'")
        return store(self, function(before(self), *args, **kwargs))

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"`{name}`, in place.\n\n    RuntimeError where the result's shape or kind of dtype does not fit this tensor."
    return method


# --- methods whose arguments differ from the function's ---------------------------------------------------------------


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where `condition`, else `other`."""
    return select.where(condition, self, other)


_to_shape = shape.reshape


def _reshape(self: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The elements in another shape, one dim of which may be -1. A view where strides allow, else a copy."""
    return _to_shape(self, shape_arg(sizes if shape is None else named_arg("reshape", sizes, (shape,)), "shape"))


def _permute(self: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dims in another order. A view."""
    return shape.permute(self, shape_arg(order if dims is None else named_arg("permute", order, (dims,)), "dims"))


def _flip(self: Tensor, *which: Any, dims: Any = None) -> Tensor:
    """The order of elements reversed along `dims`."""
    return arrange.flip(self, shape_arg(which if dims is None else named_arg("flip", which, (dims,)), "dims"))


def _tile(self: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """The tensor repeated along each dim."""
    return arrange.tile(self, shape_arg(counts if dims is None else named_arg("tile", counts, (dims,)), "dims"))


def _squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """`squeeze`, in place."""
    return _become(self, shape.squeeze(self, dim))


def _unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """`unsqueeze`, in place."""
    return _become(self, shape.unsqueeze(self, dim))


def _transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose`, in place."""
    return _become(self, shape.transpose(self, dim0, dim1))


def _as_strided_(self: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided`, in place."""
    return _become(self, strided.as_strided(self, size, stride, storage_offset))


def _t_(self: Tensor) -> Tensor:
    """`t`, in place."""
    return _become(self, shape.t(self))


def _become(self: Tensor, view: Tensor) -> Tensor:
    """Turn `self` into a view of what it was."""
    if self.is_leaf and self.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if self._here() is not self:
        here.recorder.only_outside(
            "a compiled function cannot turn a tensor from outside into a view in place: later calls would not do it again",
            "use the operation without the underscore",
        )
    here.recorder.becomes(self)
    self._array, self._edge = view._array, view._edge
    self._storage, self._steps, self._generation, self._version_cell = view._storage, view._steps, view._generation, view._version_cell
    return self


def _expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return shape.expand(self, tuple(other.shape))


def _reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return shape.reshape(self, tuple(other.shape))


def _view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of `other`."""
    return shape.view(self, tuple(other.shape))


def _sum_to_size(self: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """The sum over the dims that broadcasting from `size` would add. RuntimeError where `size` does not broadcast to the shape."""
    target = shape_arg(sizes if size is None else named_arg("sum_to_size", sizes, (size,)))
    extra = self.ndim - len(target)
    try:
        fits = extra >= 0 and broadcast_shapes(target, tuple(self.shape)) == tuple(self.shape)
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(f"size {{{list(target)}}} is not expandable to size {{{list(self.shape)}}}.")
    axes = tuple(range(extra)) + tuple(i + extra for i, d in enumerate(target) if d == 1 and self.shape[i + extra] != 1)
    if not target:
        return reduce.sum(self)  # bools count, though over nothing
    return shape.reshape(reduce.sum(self, axes) if axes else self, target)


def _split(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`ingot.split`."""
    return join.split(self, split_size, dim)


def _norm(self: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The norm over `dim`: see `ingot.norm`."""
    return norm.norm(self, p, dim, keepdim, dtype=dtype)


def _dist(self: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return norm.dist(self, other, p)


def _polygamma(self: Tensor, n: int) -> Tensor:
    """`ingot.polygamma(n, self)`."""
    return gamma.polygamma(n, self)


def _polygamma_(self: Tensor, n: int) -> Tensor:
    """`polygamma`, in place."""
    return store(self, gamma.polygamma(n, before(self)))


def _fill_(self: Tensor, value: Any) -> Tensor:
    """Fill with a number or a 0-d tensor, in place. RuntimeError for a tensor with dims."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
        fill = cast(value, self.dtype)
    elif is_number(value):
        fill = filler(value, self.dtype)
    else:
        raise TypeError(f"fill_(): argument 'value' (position 1) must be Number, not {type(value).__name__}")
    part = self
    for d, (n, step) in enumerate(zip(self.shape, self.stride() if self._storage is not None else ())):
        if step == 0 and n > 1:  # an expanded dim is one element in memory
            part = part.narrow(d, 0, 1)  # type: ignore[attr-defined]
    store(part, apply("broadcast", fill, attrs=(tuple(part.shape),)))
    return self


def _zero_(self: Tensor) -> Tensor:
    """Fill with zeros, in place."""
    return _fill_(self, 0)


def _fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fill the main diagonal of a matrix, in place; with `wrap`, again after each square of a tall one."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    n, m = self.shape[0], self.shape[-1]
    if self.ndim > 2:
        if len(set(self.shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        place = apply("iota", attrs=(dtypes.i64, tuple(self.shape), 0))
        here = apply("eq", place, place)
        for d in range(1, self.ndim):
            same = apply("eq", place, apply("iota", attrs=(dtypes.i64, tuple(self.shape), d)))
            here = apply("logical_and", here, same)
    else:
        flat = apply("iota", attrs=(dtypes.i64, (n * m,), 0))
        here = apply("eq", apply("remainder", flat, scalar(m + 1, dtypes.i64)), scalar(0, dtypes.i64))
        if not wrap:
            here = apply("logical_and", here, apply("lt", flat, scalar(m * m, dtypes.i64)))
        here = apply("reshape", here, attrs=((n, m),))
    return store(self, apply("select", here, scalar(fill_value, self.dtype), self))


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Add the gradients of this tensor to the `.grad` of the leaves (or of `inputs` only).

    `gradient` may be left out for a tensor of one element. RuntimeError if nothing here requires gradients.
    """
    engine.backward(self, gradient, retain_graph, create_graph, inputs)


def _share_memory_(self: Tensor) -> Tensor:
    """Move this tensor to memory that processes share which are forked from now on: what one writes in place, all see. In place.

    RuntimeError for a tensor that an operation made. Nothing for one on a GPU.
    """
    if not self.is_cuda and not _is_shared(self):
        dtype = self.dtype.numpy
        memory = mmap.mmap(-1, max(self.numel() * dtype.itemsize, 1))
        array = np.frombuffer(memory, dtype, self.numel()).reshape(tuple(self.shape))
        array[...] = self.detach().numpy()
        self.data = from_array(array, share=True)
    return self


def _is_shared(self: Tensor) -> bool:
    """Whether processes share this tensor's memory: see `share_memory_`."""
    storage = self._storage
    buffer = None if storage is None else storage.base.buffer
    owner: Any = None if buffer is None else buffer.owner
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, mmap.mmap) or isinstance(owner, memoryview) and isinstance(owner.obj, mmap.mmap)


def _is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether this tensor's memory is pinned, so that GPUs copy from and to it by themselves."""
    buffer = None if self.is_cuda else self._now().buffer
    if buffer is None:
        return False
    from ingot.runtime.cuda.allocator import PINNED

    return buffer.address in PINNED


def _pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in pinned memory, which GPUs copy from and to by themselves; itself where it is such.

    RuntimeError where there is no CUDA device, and for a tensor on one.
    """
    if self.is_cuda:
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")
    if _is_pinned(self):
        return self
    from ingot.runtime.array import Array
    from ingot.runtime.cuda.allocator import pinned
    from ingot.runtime.cuda.device import device as gpu

    value = self._value()
    buffer = pinned(gpu(), value.nbytes)
    buffer.array(value.dtype, value.shape)[...] = value
    return wrap((Array(self._array.type, buffer, None, None), None))


def _part(get: Callable[[Tensor], Tensor], doc: str) -> property:
    def put(self: Tensor, value: Any) -> None:
        part = get(self)
        part.copy_(value if isinstance(value, Tensor) else filler(value, part.dtype))

    return property(get, put, doc=doc)


def _flipped(name: str, order: tuple[int, ...] | None, doc: str) -> property:
    def get(self: Tensor) -> Tensor:
        if order is not None:
            if self.ndim < 2:
                raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
            flipped = shape.transpose(self, -2, -1)
            return complex.conj(flipped) if name in ("H", "mH") else flipped
        return shape.permute(self, tuple(reversed(range(self.ndim))))

    return property(get, doc=doc)


# methods spelled out above
SPECIAL: dict[str, Callable[..., Any]] = dict(
    where=_where, reshape=_reshape, permute=_permute, flip=_flip, tile=_tile, squeeze_=_squeeze_, unsqueeze_=_unsqueeze_,
    as_strided_=_as_strided_,
    transpose_=_transpose_, swapaxes_=_transpose_, swapdims_=_transpose_, t_=_t_, expand_as=_expand_as, reshape_as=_reshape_as,
    view_as=_view_as, sum_to_size=_sum_to_size, split=_split, norm=_norm, dist=_dist, polygamma=_polygamma,
    polygamma_=_polygamma_, fill_=_fill_, zero_=_zero_, fill_diagonal_=_fill_diagonal_, backward=_backward,
    share_memory_=_share_memory_, is_shared=_is_shared, is_pinned=_is_pinned, pin_memory=_pin_memory,
)  # fmt: skip


# what `ingot.random` gives to Tensor when it is imported, which is when one of them is first called
DRAWS = "uniform_ normal_ bernoulli_ random_ exponential_ cauchy_ geometric_ log_normal_ bernoulli multinomial"


def _drawn(name: str) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return getattr(ingot.random, name)(self, *args, **kwargs)

    return named(method, name, f"`ingot.random.{name}`.")


def install(cls: Any) -> None:
    """Give `cls` (Tensor) its methods and properties."""
    for name in DRAWS.split():
        setattr(cls, name, _drawn(name))
    for module, names in METHODS.items():
        for name in names.split():
            setattr(cls, name, getattr(module, name))
    for module, names in INPLACE.items():
        for name in names.split():
            setattr(cls, f"{name}_", in_place(name, getattr(module, name)))
    for name, method in {**SPECIAL, **conversion.METHODS}.items():
        setattr(cls, name, with_numpy_names(named(method, name, method.__doc__ or "")))
    cls.__repr__ = cls.__str__ = printing.tensor_text
    cls.__format__ = printing.tensor_format
    cls.T = _flipped("T", None, "All dims in reverse order. A view.")
    cls.H = _flipped("H", (0,), "A matrix transposed, complex numbers conjugated. A view of real numbers.")
    cls.mT = _flipped("mT", (0,), "The last two dims swapped. A view.")
    cls.real = _part(complex.real, "The real parts: a view of complex numbers, and real ones themselves.")
    cls.imag = _part(complex.imag, "The imaginary parts, a view. RuntimeError unless the dtype is complex.")
    cls.layout = property(lambda self: constants.strided, doc="`ingot.strided`.")
    cls.mH = _flipped("mH", (0,), "The last two dims swapped, complex numbers conjugated. A view of real numbers.")
    memory_methods.install(cls)


