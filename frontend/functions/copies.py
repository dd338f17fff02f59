"""Functions over methods of Tensor: copies, and the in-place twins under torch's function names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.functions import binary, complex, gamma, integers, join, matmul, select, shape, strided, unary
from ingot.functions.common import Tensor, check_tensor, emit_out
from ingot.functions.methods import in_place

__all__ = ["clone", "detach", "detach_", "fill", "fill_", "is_same_size", "zero_"]

_TWINS: dict[Any, str] = {
    unary: "abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil cos cosh deg2rad erf erfc exp exp2 "
    "expm1 fix floor frac log log10 log1p log2 logit nan_to_num neg negative rad2deg reciprocal relu round rsqrt sigmoid sin sinc sinh "
    "sqrt square tan tanh trunc",
    binary: "ldexp xlogy",
    select: "clamp clamp_max clamp_min clip",
    matmul: "addmv",
    integers: "gcd lcm",
    gamma: "i0",
    complex: "conj_physical",
}
for _module, _names in _TWINS.items():
    for _name in _names.split():
        globals()[f"{_name}_"] = in_place(_name, getattr(_module, _name))
        __all__.append(f"{_name}_")


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow.

    >>> ingot.clone(ingot.ones(2))
    tensor([1., 1.])
    """
    check_tensor("clone", input)
    return input.clone()


def detach(input: Tensor) -> Tensor:
    """The same values and memory, without the history of gradients."""
    check_tensor("detach", input)
    return input.detach()


def detach_(input: Tensor) -> Tensor:
    """Forget the history of gradients, in place."""
    check_tensor("detach_", input)
    return input.detach_()


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` filled with `value`, a number or a 0-d tensor."""
    check_tensor("fill", input)
    return input.clone().fill_(value)  # type: ignore[attr-defined]


def fill_(input: Tensor, value: Any) -> Tensor:
    """Fill `input` with `value`, in place."""
    check_tensor("fill_", input)
    return input.fill_(value)  # type: ignore[attr-defined]


def zero_(input: Tensor) -> Tensor:
    """Fill `input` with zeros, in place."""
    check_tensor("zero_", input)
    return input.zero_()  # type: ignore[attr-defined]


def _copied(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    def function(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        check_tensor(f"{name}_copy", input)
        made = view(input, *args, **kwargs)
        made = tuple(t.clone() for t in made) if isinstance(made, (tuple, list)) else made.clone()
        return emit_out(made, out)

    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"`{name}`, as a copy instead of a view."
    return function


# views that torch also has as copies
_COPIES: dict[str, Callable[..., Any]] = {
    "alias": lambda x: x, "as_strided": strided.as_strided, "diagonal": shape.diagonal, "expand": shape.expand, "narrow": shape.narrow,
    "permute": shape.permute, "select": shape.select, "split": join.split, "split_with_sizes": join.split_with_sizes,
    "squeeze": shape.squeeze, "t": shape.t, "transpose": shape.transpose, "unbind": join.unbind, "unfold": shape.unfold,
    "unsqueeze": shape.unsqueeze, "view": shape.view,
}  # fmt: skip
for _name, _view in _COPIES.items():
    globals()[f"{_name}_copy"] = _copied(_name, _view)
    __all__.append(f"{_name}_copy")


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    check_tensor("is_same_size", input)
    check_tensor("is_same_size", other, "other", 2)
    return tuple(input.shape) == tuple(other.shape)
