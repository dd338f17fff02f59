"""The array API standard (2023.12) on tensors: `x.__array_namespace__()`. Its names and arguments, where they are not torch's.

    xp = x.__array_namespace__()
    xp.sum(x, axis=0, keepdims=True)

Source: https://data-apis.org/array-api/2023.12/.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import ingot
from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__array_api_version__ = "2023.12"

# names that are those of `ingot`
SAME = (
    "abs acos acosh add arange asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift "
    "bitwise_xor bool broadcast_to can_cast ceil complex64 complex128 conj copysign cos cosh divide e empty empty_like exp eye "
    "expm1 finfo float32 float64 floor floor_divide from_dlpack full full_like greater greater_equal hypot iinfo imag inf int16 "
    "int32 int64 int8 isfinite isinf isnan less less_equal linspace log log10 log1p log2 logaddexp logical_and logical_not "
    "logical_or logical_xor matmul maximum minimum moveaxis multiply nan negative newaxis nextafter nonzero not_equal ones "
    "ones_like pi positive pow real reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh tensordot tile "
    "tril triu trunc uint16 uint32 uint64 uint8 where zeros zeros_like "
).split()  # fmt: skip
OWN = (
    "all any argmax argmin argsort asarray astype bitwise_invert broadcast_arrays clip concat count_nonzero cumulative_prod cumulative_sum "
    "diff equal expand_dims flip isdtype matrix_transpose max mean meshgrid min permute_dims prod repeat reshape result_type roll "
    "searchsorted sort squeeze stack std sum take take_along_axis unique_all unique_counts unique_inverse unique_values unstack var vecdot"
).split()  # fmt: skip
__all__ = [*SAME, *OWN, "linalg", "__array_namespace_info__"]  # noqa: PLE0604

Axis = int | Sequence[int] | None


def __getattr__(name: str) -> Any:
    if name not in SAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(ingot, name)


def __dir__() -> list[str]:
    return sorted(__all__)


# ---- reductions


def _dims(x: Tensor, axis: Axis) -> Any:
    if axis is None:
        return tuple(range(x.ndim))
    return axis if isinstance(axis, int) else tuple(axis)


def _wide(x: Tensor, dtype: DType | None) -> DType | None:
    """The dtype of a sum or product: small integers become 64 bits wide, floats stay."""
    if dtype is not None or x.dtype.kind in "fc":
        return dtype
    return ingot.uint64 if x.dtype.kind == "u" else ingot.int64


def sum(x: Tensor, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: builtins.bool = False) -> Tensor:
    """The sum over `axis`."""
    dtype = _wide(x, dtype)
    x = x if dtype is None else x.to(dtype)
    return x.clone() if axis == () else ingot.sum(x, _dims(x, axis), keepdim=keepdims).to(x.dtype)


def prod(x: Tensor, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: builtins.bool = False) -> Tensor:
    """The product over `axis`."""
    dtype = _wide(x, dtype)
    x = x if dtype is None else x.to(dtype)
    kind = x.dtype
    dims = _dims(x, axis)
    for d in sorted((d % builtins.max(x.ndim, 1) for d in ((dims,) if isinstance(dims, int) else dims)), reverse=True):
        x = ingot.prod(x, d, keepdim=keepdims)
    return x.to(kind)


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """The mean over `axis`."""
    return x.clone() if axis == () else ingot.mean(x, _dims(x, axis), keepdim=keepdims)


def var(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: builtins.bool = False) -> Tensor:
    """The variance over `axis`."""
    return x * 0 if axis == () else ingot.var(x, _dims(x, axis), correction=correction, keepdim=keepdims)


def std(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: builtins.bool = False) -> Tensor:
    """The standard deviation over `axis`."""
    return var(x, axis=axis, correction=correction, keepdims=keepdims).sqrt()


def max(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """The largest element over `axis`."""
    return x.clone() if axis == () else ingot.amax(x, _dims(x, axis), keepdim=keepdims)


def min(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """The smallest element over `axis`."""
    return x.clone() if axis == () else ingot.amin(x, _dims(x, axis), keepdim=keepdims)


def all(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """Whether all elements over `axis` are true."""
    return x.bool() if axis == () else ingot.all(x.bool(), _dims(x, axis), keepdim=keepdims)


def any(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """Whether any element over `axis` is true."""
    return x.bool() if axis == () else ingot.any(x.bool(), _dims(x, axis), keepdim=keepdims)


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False) -> Tensor:
    """How many elements over `axis` are not 0."""
    return sum(x != 0, axis=axis, keepdims=keepdims)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: builtins.bool = False) -> Tensor:
    """Where the largest element along `axis` is."""
    return ingot.argmax(x, axis, keepdims) if axis is not None or not keepdims else ingot.argmax(x).reshape((1,) * x.ndim)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: builtins.bool = False) -> Tensor:
    """Where the smallest element along `axis` is."""
    return ingot.argmin(x, axis, keepdims) if axis is not None or not keepdims else ingot.argmin(x).reshape((1,) * x.ndim)


def _one_axis(x: Tensor, axis: int | None) -> int:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"axis must be given for an array of {x.ndim} dims")
        return 0
    return axis


def cumulative_sum(x: Tensor, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: builtins.bool = False) -> Tensor:
    """The sums up to each element along `axis`; with include_initial from 0 on."""
    d = _one_axis(x, axis)
    dtype = _wide(x, dtype)
    x = x if dtype is None else x.to(dtype)
    out = ingot.cumsum(x, d)
    return ingot.cat([ingot.zeros_like(x.narrow(d, 0, 1)), out], d) if include_initial else out


def cumulative_prod(x: Tensor, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: builtins.bool = False) -> Tensor:
    """The products up to each element along `axis`; with include_initial from 1 on."""
    d = _one_axis(x, axis)
    dtype = _wide(x, dtype)
    x = x if dtype is None else x.to(dtype)
    out = ingot.cumprod(x, d)
    return ingot.cat([ingot.ones_like(x.narrow(d, 0, 1)), out], d) if include_initial else out


# ---- order, sets, search


def sort(x: Tensor, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True) -> Tensor:
    """The elements in order along `axis`."""
    return ingot.sort(x, axis, descending, stable).values


def argsort(x: Tensor, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True) -> Tensor:
    """The places of the elements in order along `axis`."""
    return ingot.sort(x, axis, descending, stable).indices


class UniqueAll(NamedTuple):
    """The result of `unique_all`."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The result of `unique_counts`."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The result of `unique_inverse`."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """The different elements, where each is first, which each element is, and how often each is there."""
    values, inverse, counts = ingot.unique(x, sorted=True, return_inverse=True, return_counts=True)
    order = ingot.sort(inverse.reshape(-1), stable=True).indices
    firsts = order[counts.cumsum(0) - counts] if x.numel() else order
    return UniqueAll(values, firsts, inverse.reshape(tuple(x.shape)), counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The different elements, and how often each is there."""
    return UniqueCounts(*ingot.unique(x, sorted=True, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The different elements, and which each element is."""
    values, inverse = ingot.unique(x, sorted=True, return_inverse=True)
    return UniqueInverse(values, inverse.reshape(tuple(x.shape)))


def unique_values(x: Tensor, /) -> Tensor:
    """The different elements."""
    return ingot.unique(x, sorted=True)


def searchsorted(x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter: Tensor | None = None) -> Tensor:
    """Where the elements of x2 go in x1, which rises (in the order `sorter`)."""
    return ingot.searchsorted(x1 if sorter is None else x1[sorter], x2, side=side)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The slices at `indices` along `axis`."""
    return ingot.index_select(x, _one_axis(x, axis), indices)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """The elements at `indices` along `axis`."""
    return ingot.take_along_dim(x, indices, axis)


# ---- shapes


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Arrays one after the other along `axis`; flat ones for None."""
    return ingot.cat([a.reshape(-1) for a in arrays]) if axis is None else ingot.cat(list(arrays), axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays along a new axis."""
    return ingot.stack(list(arrays), axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along `axis`."""
    return tuple(x.unbind(axis))


def expand_dims(x: Tensor, /, *, axis: int = 0) -> Tensor:
    """A new axis of extent 1."""
    return x.unsqueeze(axis)


def squeeze(x: Tensor, /, axis: int | Sequence[int]) -> Tensor:
    """Axes of extent 1 removed. ValueError for one of another extent."""
    dims = (axis,) if isinstance(axis, int) else tuple(axis)
    if builtins.any(x.shape[d] != 1 for d in dims):
        raise ValueError(f"squeeze: the axes {dims} of {list(x.shape)} are not all of extent 1")
    return x.squeeze(dims)


def flip(x: Tensor, /, *, axis: Axis = None) -> Tensor:
    """The order reversed along `axis`; along all for None."""
    dims = _dims(x, axis)
    return ingot.flip(x, (dims,) if isinstance(dims, int) else dims)


def roll(x: Tensor, /, shift: int | Sequence[int], *, axis: Axis = None) -> Tensor:
    """Moved around along `axis`."""
    return ingot.roll(x, shift, axis)


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order."""
    return ingot.permute(x, tuple(axes))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes swapped."""
    return x.mT


def reshape(x: Tensor, /, shape: Sequence[int], *, copy: builtins.bool | None = None) -> Tensor:
    """Another shape. ValueError where copy is False and it cannot be a view."""
    if copy is False:
        try:
            return x.view(tuple(shape))
        except RuntimeError as e:
            raise ValueError(str(e)) from None
    out = ingot.reshape(x, tuple(shape))
    return out.clone() if copy else out


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element repeated, along `axis`; of the flat array for None."""
    return ingot.repeat_interleave(x, repeats, axis)


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Arrays of one shape."""
    return list(ingot.broadcast_tensors(*arrays))


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """The coordinates of a grid."""
    return list(ingot.meshgrid(*arrays, indexing=indexing))


# ---- elementwise, dtypes, creation


def equal(x1: Tensor, x2: Any, /) -> Tensor:
    """Whether elements are equal."""
    return ingot.eq(x1, x2)


def bitwise_invert(x: Tensor, /) -> Tensor:
    """The bits inverted."""
    return ingot.bitwise_not(x)


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Within bounds, in the dtype of `x`."""
    return x.clone() if min is None and max is None else ingot.clamp(x, min, max).to(x.dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Sums of products along `axis`."""
    return ingot.linalg.vecdot(*ingot.broadcast_tensors(x1, x2), dim=axis)


def diff(x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The n-th differences along `axis`."""
    return ingot.diff(x, n, axis, prepend, append)


def astype(x: Tensor, dtype: DType, /, *, copy: builtins.bool = True, device: Any = None) -> Tensor:
    """In another dtype; a copy, unless `copy` is False."""
    return x.clone() if copy and x.dtype is dtype else x.to(dtype)


def asarray(obj: Any, /, *, dtype: DType | None = None, device: Any = None, copy: builtins.bool | None = None) -> Tensor:
    """A tensor of an array, number, or nested sequence."""
    return ingot.asarray(obj, dtype=dtype, device=device, copy=copy)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that these promote to."""
    found: Any = None
    for x in arrays_and_dtypes:
        d = x if isinstance(x, DType) else x.dtype if isinstance(x, Tensor) else None
        if d is not None:
            found = d if found is None else ingot.promote_types(found, d)
    if found is None:
        raise ValueError("result_type takes at least one array or dtype")
    return found


_KINDS = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f", "complex floating": "c",
    "numeric": "iufc",
}  # fmt: skip


def isdtype(dtype: DType, kind: Any) -> builtins.bool:
    """Whether a dtype is one, of a kind ("integral", "real floating", …), or of any of a tuple of these. ValueError for no such kind."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"Unrecognized data type kind: {kind!r}")
        return dtype.kind in _KINDS[kind]
    return dtype is kind


# ---- linear algebra and inspection


def _linalg() -> SimpleNamespace:
    names = "cholesky cross det diagonal eigh eigvalsh inv matrix_power matrix_rank pinv qr slogdet solve svd svdvals".split()
    found = {n: getattr(ingot.linalg, n) for n in names}

    def matrix_norm(x: Tensor, /, *, keepdims: builtins.bool = False, ord: Any = "fro") -> Tensor:
        return ingot.linalg.matrix_norm(x, ord, keepdim=keepdims)

    def vector_norm(x: Tensor, /, *, axis: Axis = None, keepdims: builtins.bool = False, ord: Any = 2) -> Tensor:
        return ingot.linalg.vector_norm(x, ord, axis, keepdims)

    def trace(x: Tensor, /, *, offset: int = 0, dtype: DType | None = None) -> Tensor:
        return sum(x.diagonal(offset, -2, -1), axis=-1, dtype=dtype)

    return SimpleNamespace(
        **found, matmul=ingot.matmul, matrix_norm=matrix_norm, matrix_transpose=matrix_transpose, outer=ingot.outer,
        tensordot=ingot.tensordot, trace=trace, vecdot=vecdot, vector_norm=vector_norm,
    )  # fmt: skip


linalg = _linalg()


class _Info:
    """What the namespace says of itself."""

    def capabilities(self) -> dict[str, Any]:
        """What is optional, and there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """The CPU."""
        return ingot.device("cpu")

    def devices(self) -> list[Any]:
        """The CPU."""
        return [ingot.device("cpu")]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes that functions choose."""
        real = ingot.get_default_dtype()
        wide = ingot.complex128 if real is ingot.float64 else ingot.complex64
        return {"real floating": real, "complex floating": wide, "integral": ingot.int64, "indexing": ingot.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The dtypes, of a kind if one is given."""
        names = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()
        return {n: getattr(ingot, n) for n in names if kind is None or isdtype(getattr(ingot, n), kind)}


def __array_namespace_info__() -> _Info:
    """Capabilities, devices and dtypes.

    >>> ingot.array_api.__array_namespace_info__().default_dtypes()["integral"]
    ingot.int64
    """
    return _Info()
