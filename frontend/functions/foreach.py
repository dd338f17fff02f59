"""`_foreach_*`: an operation on each tensor of a list, by torch's names. Nothing runs between them, so that they are one graph anyway.

>>> ingot._foreach_add([ingot.ones(1), ingot.zeros(1)], 2)
(tensor([3.]), tensor([2.]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.functions.common import Tensor
from ingot.grad_mode import no_grad

_UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "frac", "lgamma", "log", "log10", "log1p",
    "log2", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
)  # fmt: skip
_BINARY = {  # with a number, or a list of numbers or tensors
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "pow", "clamp_min": "clamp_min", "clamp_max": "clamp_max",
    "maximum": "clamp_min", "minimum": "clamp_max",
}  # fmt: skip
_TERNARY = ("addcdiv", "addcmul", "lerp")


def _each(name: str, tensors: Any) -> list[Tensor]:
    found = list(tensors) if isinstance(tensors, (list, tuple)) else []
    if not found or not all(isinstance(t, Tensor) for t in found):
        raise RuntimeError(f"{name}: Tensor list must have at least one tensor.")
    return found


def _beside(name: str, n: int, x: Any) -> list[Any]:
    """An argument for each of n tensors: items of a list, or of a tensor of one dim; or the same for all."""
    if isinstance(x, (list, tuple)):
        if len(x) != n:
            raise RuntimeError(f"{name}: Tensor lists must have the same number of tensors, got {n} and {len(x)}")
        return list(x)
    return list(x.unbind()) if isinstance(x, Tensor) and x.ndim else [x] * n


def _made(name: str, method: str) -> tuple[Callable[..., tuple[Tensor, ...]], Callable[..., None]]:
    """The function of a method, and the one that writes in place."""

    def compute(self: Any, args: tuple, kwargs: dict[str, Any], method: str) -> list[Tensor]:
        tensors = _each(name, self)
        lists = [_beside(name, len(tensors), a) for a in args]
        if method.startswith("addc") and len(args) == 3:  # the last is the factor
            return [getattr(t, method)(a, b, value=v) for t, a, b, v in zip(tensors, *lists)]
        return [getattr(t, method)(*rest, **kwargs) for t, *rest in zip(tensors, *lists)]

    def out_of_place(self: Sequence[Tensor], *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        return tuple(compute(self, args, kwargs, method))

    def in_place(self: Sequence[Tensor], *args: Any, **kwargs: Any) -> None:
        compute(self, args, kwargs, method + "_")

    for fn, end in ((out_of_place, ""), (in_place, "_")):
        fn.__name__ = fn.__qualname__ = name + end
        fn.__doc__ = f"`Tensor.{method}{end}` of each tensor of a list, with the items of the other lists, or numbers for all."
    return out_of_place, in_place


def _foreach_copy_(self: Sequence[Tensor], src: Sequence[Tensor], non_blocking: bool = False) -> None:
    """Copy each tensor of `src` into that of `self`."""
    for t, s in zip(_each("_foreach_copy_", self), _beside("_foreach_copy_", len(self), src)):
        t.copy_(s)


def _foreach_zero_(self: Sequence[Tensor]) -> None:
    """Zeros in each tensor of a list."""
    with no_grad():
        for t in _each("_foreach_zero_", self):
            t.zero_()


def _foreach_norm(self: Sequence[Tensor], ord: Any = 2, dtype: Any = None) -> tuple[Tensor, ...]:
    """The norm of each tensor of a list."""
    import ingot

    return tuple(ingot.linalg.vector_norm(t, ord, dtype=dtype) for t in _each("_foreach_norm", self))


_FUNCTIONS: dict[str, Callable] = {}
for _name, _method in (*((n, n) for n in (*_UNARY, *_TERNARY)), *_BINARY.items()):
    _FUNCTIONS[f"_foreach_{_name}"], _FUNCTIONS[f"_foreach_{_name}_"] = _made(f"_foreach_{_name}", _method)
globals().update(_FUNCTIONS)
__all__ = [*_FUNCTIONS, "_foreach_copy_", "_foreach_norm", "_foreach_zero_"]  # noqa: PLE0604
