"""What activations are made with: composites that compute halves in float32 and round once, and their in-place form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor, recording, wrap
from ingot._tensor.composites import composite

_HALF = ("float16", "bfloat16")


def is_half(t: Tensor) -> bool:
    return t.dtype.torch_name in _HALF


def elementwise(fn: Callable, integers: str = "refuse", complex: bool = False) -> Callable:
    """A composite of one float tensor (and static parameters) that computes halves in float32.

    integers: "refuse" (RuntimeError), "float" (as the default dtype), or "keep" (computed in their own dtype).
    complex: complex numbers are taken, too.
    """

    @composite
    @functools.wraps(fn)
    def compute(input: Tensor, *args: Any) -> Tensor:
        return fn(input.float(), *args).to(input.dtype) if is_half(input) else fn(input, *args)

    @functools.wraps(fn)
    def checked(input: Tensor, *args: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{fn.__name__.strip('_')}: input must be a Tensor, not {type(input).__name__}")
        if not input.is_floating_point() and not (complex and input.is_complex()):
            if integers == "refuse" or (integers == "keep" and input.dtype == ingot.bool or input.is_complex()):
                raise RuntimeError(f"{fn.__name__.strip('_')}: input must be of a floating-point dtype, not {input.dtype!r}")
            if integers == "float" and input.dtype.kind != "c":
                input = input.to(ingot.get_default_dtype())
        return compute(input, *args)

    return checked


with_complex = functools.partial(elementwise, complex=True)
float_integers = functools.partial(elementwise, integers="float", complex=True)
keep_integers = functools.partial(elementwise, integers="keep")


def apply(fn: Callable[..., Tensor], input: Tensor, inplace: bool, *args: Any) -> Tensor:
    """fn(input, *args), or `input` overwritten with it.

    In place, fn reads another handle of the same value: what its backward saves is the value before, which stays as it is.
    """
    if not inplace:
        return fn(input, *args)
    return recording.inplace(input, fn(wrap(input._pair()), *args))
