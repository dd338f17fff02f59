"""MaskedTensor: data and a mask of the same shape, which says what of it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import dtypes, is_number

__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]

# functions of elements: the mask stays
_UNARY = (
    "abs absolute acos acosh angle asin asinh atan atanh bitwise_not ceil clamp conj_physical cos cosh deg2rad digamma erf erfc erfinv exp "
    "exp2 expm1 fix floor frac isnan lgamma log log10 log1p log2 logit i0 nan_to_num neg negative positive pow rad2deg reciprocal relu "
    "round rsqrt sigmoid sgn sign signbit sin sinc sinh sqrt square tan tanh trunc"
)
# of two: masks must be equal
_BINARY = (
    "add atan2 arctan2 bitwise_and bitwise_or bitwise_xor div divide floor_divide fmod logaddexp logaddexp2 mul multiply nextafter "
    "remainder sub subtract true_divide eq ne le ge greater greater_equal gt less_equal lt less maximum minimum fmax fmin not_equal"
)
_MOVED = "clone contiguous expand flatten permute ravel reshape select squeeze swapaxes t transpose unsqueeze view detach to float double"
_OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "eq": "eq", "ne": "ne",
    "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip


class MaskedTensor:
    """Data of which only what a bool mask keeps counts (True), for functions of elements, reductions and views.

    Two of them go together if their masks are equal (ValueError). Gradients flow to what is kept. ValueError for a mask of another
    shape or dtype. torch's is a prototype; this one has the same names, and is no Tensor: `get_data` and `to_tensor` give one.

        >>> x = ingot.masked.masked_tensor(ingot.tensor([1.0, 2.0, 4.0]), ingot.tensor([True, False, True]))
        >>> x.sum().get_data()
        tensor(5.)
        >>> (x * 2).to_tensor(0.0)
        tensor([2., 0., 8.])
    """

    __hash__ = object.__hash__

    def __init__(self, data: Tensor, mask: Tensor, requires_grad: bool = False):
        if not isinstance(data, Tensor) or not isinstance(mask, Tensor):
            raise TypeError("MaskedTensor: data and mask must be Tensors")
        if mask.dtype is not dtypes.bool_:
            raise TypeError(f"MaskedTensor: mask must be a bool tensor, got {mask.dtype}")
        if tuple(data.shape) != tuple(mask.shape):
            raise ValueError(f"MaskedTensor: data has shape {list(data.shape)}, mask {list(mask.shape)}")
        self._data = data.detach().clone().requires_grad_() if requires_grad else data
        self._mask = mask

    shape = property(lambda self: self._data.shape, doc="The shape.")
    dtype = property(lambda self: self._data.dtype, doc="The dtype of the data.")
    device = property(lambda self: self._data.device, doc="Where it lives.")
    ndim = property(lambda self: self._data.ndim, doc="The number of dims.")
    requires_grad = property(lambda self: self._data.requires_grad, doc="Whether the data does.")
    is_leaf = property(lambda self: self._data.is_leaf, doc="Whether no operation made the data.")
    layout = property(lambda self: self._data.layout, doc="The layout of the data.")

    @property
    def grad(self) -> MaskedTensor | None:
        """The gradient of what is kept, or None."""
        g = self._data.grad
        return None if g is None else MaskedTensor(g, self._mask)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of `dim`."""
        return self._data.size(dim)

    def dim(self) -> int:
        """The number of dims."""
        return self._data.ndim

    def numel(self) -> int:
        """How many elements there are, kept or not."""
        return self._data.numel()

    def get_data(self) -> Tensor:
        """The data; what is not kept of it means nothing."""
        return self._data

    def get_mask(self) -> Tensor:
        """What is kept."""
        return self._mask

    def to_tensor(self, value: Any) -> Tensor:
        """The data, with `value` where nothing is kept."""
        return ingot.where(self._mask, self._data, ingot.full((), value, dtype=self.dtype))

    def requires_grad_(self, requires_grad: bool = True) -> MaskedTensor:
        """Start (or stop) recording operations on the data."""
        self._data.requires_grad_(requires_grad)
        return self

    def backward(self, gradient: Any = None, **options: Any) -> None:
        """The gradients of what is kept."""
        data = self.to_tensor(0)
        data.backward(gradient.get_data() if isinstance(gradient, MaskedTensor) else gradient, **options)

    def tolist(self) -> Any:
        """Nested lists, None where nothing is kept."""
        values, kept = self._data.detach().tolist(), self._mask.tolist()

        def pick(v: Any, m: Any) -> Any:
            return [pick(*p) for p in zip(v, m)] if isinstance(v, list) else v if m else None

        return pick(values, kept)

    def where(self, condition: Tensor, other: Any) -> MaskedTensor:
        """This one where `condition`, else `other`, data and masks alike."""
        if not isinstance(other, MaskedTensor):
            raise TypeError("MaskedTensor.where: expected a MaskedTensor for other")
        return MaskedTensor(ingot.where(condition, self._data, other._data), ingot.where(condition, self._mask, other._mask))

    def __matmul__(self, other: Any) -> MaskedTensor:
        if not isinstance(other, MaskedTensor):
            return NotImplemented
        kept = self._mask.float() @ other._mask.float() > 0
        return MaskedTensor(self.to_tensor(0) @ other.to_tensor(0), kept)

    matmul = mm = bmm = __matmul__

    def __getitem__(self, key: Any) -> MaskedTensor:
        return MaskedTensor(self._data[key], self._mask[key])

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        if self.numel() != 1 or not bool(self._mask):
            raise ValueError("the truth of a MaskedTensor is that of one element that is kept")
        return bool(self._data)

    def item(self) -> Any:
        """The number of one element; None if it is not kept."""
        return self._data.item() if bool(self._mask) else None

    def any(self, dim: Any = None, keepdim: bool = False) -> MaskedTensor:
        """Whether any of what is kept is true."""
        kept = self._mask.any() if dim is None else self._mask.any(dim, keepdim)
        x = self._data.bool().logical_and(self._mask)
        return MaskedTensor(x.any() if dim is None else x.any(dim, keepdim), kept)

    def all(self, dim: Any = None, keepdim: bool = False) -> MaskedTensor:
        """Whether all of what is kept is true."""
        kept = self._mask.any() if dim is None else self._mask.any(dim, keepdim)
        x = self._data.bool().logical_or(self._mask.logical_not())
        return MaskedTensor(x.all() if dim is None else x.all(dim, keepdim), kept)

    def __repr__(self) -> str:
        values, kept = self._data.detach().numpy(), self._mask.numpy()
        if not self.ndim:
            return f"MaskedTensor({_cell(values[()], bool(kept))}, {bool(kept)})"
        return "MaskedTensor(\n" + _rows(values, kept, 2) + "\n)"


def _cell(value: Any, kept: bool) -> str:
    if not kept:
        return "      --"
    return f"{value:8.4f}" if isinstance(value, (float, np.floating)) else str(value)


def _rows(values: np.ndarray, kept: np.ndarray, indent: int) -> str:
    if values.ndim == 1:
        return " " * indent + "[" + ", ".join(_cell(v, bool(k)) for v, k in zip(values, kept)) + "]"
    inner = ",\n".join(_rows(v, k, indent + 2) for v, k in zip(values, kept))
    return " " * indent + "[\n" + inner + "\n" + " " * indent + "]"


def _unary(name: str) -> Callable[..., MaskedTensor]:
    def method(self: MaskedTensor, *args: Any, **kwargs: Any) -> MaskedTensor:
        return MaskedTensor(getattr(self._data, name)(*args, **kwargs), self._mask)

    return method


def _binary(name: str, swapped: bool = False) -> Callable[..., MaskedTensor]:
    def method(self: MaskedTensor, other: Any, **kwargs: Any) -> MaskedTensor:
        if isinstance(other, MaskedTensor):
            if tuple(self.shape) != tuple(other.shape) or not bool((self._mask == other._mask).all()):
                raise ValueError("Input masks must match. If you need support for this, please open an issue on Github.")
            other = other._data
        elif not isinstance(other, Tensor) and not is_number(other):
            return NotImplemented
        pair = (other, self._data) if swapped else (self._data, other)
        value = getattr(ingot, name)(*pair, **kwargs)
        return MaskedTensor(value, self._mask.expand(*value.shape))

    return method


def _moved(name: str) -> Callable[..., MaskedTensor]:
    def method(self: MaskedTensor, *args: Any, **kwargs: Any) -> MaskedTensor:
        mask = self._mask if name in ("to", "float", "double", "detach", "contiguous") else getattr(self._mask, name)(*args, **kwargs)
        return MaskedTensor(getattr(self._data, name)(*args, **kwargs), mask)

    return method


def _install() -> None:
    for names, make, what in (
        (_UNARY, _unary, "of the data"), (_BINARY, _binary, "with a number, a tensor, or one of the same mask"),
        (_MOVED, _moved, "of data and mask"),
    ):  # fmt: skip
        for name in names.split():
            method = make(name)
            method.__name__ = method.__qualname__ = name
            method.__doc__ = f"`{name}` {what}."
            setattr(MaskedTensor, name, method)
    for name, function in _OPERATORS.items():
        setattr(MaskedTensor, f"__{name}__", _binary(function))
        if name not in ("eq", "ne", "lt", "le", "gt", "ge"):
            setattr(MaskedTensor, f"__r{name}__", _binary(function, True))
    for name, function in (("neg", "neg"), ("abs", "abs"), ("pow", "pow"), ("invert", "bitwise_not")):
        setattr(MaskedTensor, f"__{name}__", _unary(function))


_install()


def masked_tensor(data: Tensor, mask: Tensor, requires_grad: bool = False) -> MaskedTensor:
    """A MaskedTensor of `data` and `mask`, without the history of `data`.

    >>> ingot.masked.masked_tensor(ingot.tensor([1.0, 2.0]), ingot.tensor([True, False])).tolist()
    [1.0, None]
    """
    return MaskedTensor(data.detach(), mask, requires_grad)


def as_masked_tensor(data: Tensor, mask: Tensor) -> MaskedTensor:
    """A MaskedTensor of `data` and `mask`, through which gradients flow to `data`."""
    return MaskedTensor(data, mask)


def is_masked_tensor(obj: object, /) -> bool:
    """Whether `obj` is a MaskedTensor."""
    return isinstance(obj, MaskedTensor)
