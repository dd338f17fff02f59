"""Which functions compute in lower precision, and which in float32, inside `ingot.autocast`.

A function says so where it is defined: `@lower` (products and convolutions) or `@full` (losses, factorizations and the like); any other
computes in the dtype of its arguments. The state is the thread's recorder's: `autocast`, the lower dtypes by device (`Lower`), or None
outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ingot._tensor.recording import cast
from ingot._tensor.state import Tensor
from ingot.ir.dtypes import DType, bf16, f32, f64, promote
from ingot.runtime.recorder import here

__all__ = ["LOWER", "Lower", "as_float32", "cast_all", "full", "lower", "rounded", "widest"]

F = TypeVar("F", bound=Callable)
LOWER: list[DType] = [bf16]  # the dtype of an `autocast` that names none


class Lower:
    """What autocast computes in, by device: `Lower.of(bf16, None)` is one object, however often it is asked for."""

    __slots__ = ("cpu", "cuda")

    def __init__(self, cpu: DType | None, cuda: DType | None):
        self.cpu = cpu
        self.cuda = cuda

    @staticmethod
    @functools.cache
    def of(cpu: DType | None, cuda: DType | None) -> Lower | None:
        """None where autocast is off on both."""
        return None if cpu is None and cuda is None else Lower(cpu, cuda)

    def __repr__(self) -> str:
        return " and ".join(f"{d.torch_name} on {name}" for name, d in (("cpu", self.cpu), ("cuda", self.cuda)) if d is not None)


def _lower(*values: Any) -> DType | None:
    """The lower dtype for what is computed with these, in autocast on their device; None where there is none."""
    state: Lower | None = here.recorder.autocast
    if state is None:
        return None
    if state.cuda is state.cpu:
        return state.cpu
    t = _first(values)
    return state.cpu if t is None or t._array.type.device is None else state.cuda


def _first(values: Any) -> Tensor | None:
    """The first tensor among values, in lists, tuples and dicts too."""
    for v in values:
        found = v if isinstance(v, Tensor) else _first(v.values() if isinstance(v, dict) else v) if type(v) in (tuple, list, dict) else None
        if found is not None:
            return found
    return None


def cast_all(value: Any, dtype: DType) -> Any:
    """`value` with the floating tensors in it, in lists, tuples and dicts too, in `dtype`; float64 stays."""
    if isinstance(value, Tensor):
        return cast(value, dtype) if value.dtype.kind == "f" and value.dtype is not f64 else value
    if isinstance(value, dict):
        return {k: cast_all(v, dtype) for k, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(cast_all(v, dtype) for v in value)
    return value


def as_float32(x: Tensor) -> Tensor:
    """`x`, inside autocast in float32: for a function that is sometimes `full`."""
    return x if _lower(x) is None else cast_all(x, f32)


def rounded(value: Any) -> Any:
    """`value` inside autocast in float32, rounded to the lower dtype: for what multiplies in the lower one and adds in float32."""
    to = _lower(value)
    return value if to is None else cast_all(cast_all(value, to), f32)


def widest(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`tensors`, inside autocast in the widest of their floating dtypes."""
    if _lower(*tensors) is None or any(t.dtype.kind != "f" for t in tensors):
        return tensors
    dtype = functools.reduce(promote, [t.dtype for t in tensors])
    return tuple([cast(t, dtype) for t in tensors])


def _within(fn: Callable, dtype: DType | None) -> Callable:
    """`fn` on arguments of `dtype` (None: the lower one), without autocast inside of it."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        rec = here.recorder
        before = rec.autocast
        if before is None:
            return fn(*args, **kwargs)
        to = _lower(args, kwargs)
        if to is None:
            return fn(*args, **kwargs)
        args, kwargs = cast_all(args, dtype or to), cast_all(kwargs, dtype or to)
        rec.autocast = None
        try:
            return fn(*args, **kwargs)
        finally:
            rec.autocast = before

    return call


def lower(fn: F) -> F:
    """Make `fn` one that autocast computes in the lower dtype."""
    return _within(fn, None)  # type: ignore[return-value]


def full(fn: F) -> F:
    """Make `fn` one that autocast computes in float32."""
    return _within(fn, f32)  # type: ignore[return-value]
