"""What the functions of matrices share: their error, checks, batches as one dim."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.checks import checked
from ingot.functions.common import ShapeError, Tensor, apply, check_tensor, dtype_name, dtypes
from ingot.grad_mode import no_grad
from ingot.runtime.failures import meaning
from ingot.runtime.recorder import here

__all__ = ["LinAlgError"]


_DTYPES = (dtypes.f32, dtypes.f64, dtypes.c64, dtypes.c128)


class LinAlgError(RuntimeError):
    """A matrix that the operation is not defined for: singular, or not positive definite."""


def check_matrices(name: str, a: Any, square: bool = False, argument: str = "A") -> Tensor:
    """`a`, if it is a batch of float32, float64 or complex matrices. RuntimeError in torch's words otherwise."""
    check_tensor(name, a, argument)
    if a.ndim < 2:
        raise ShapeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name}: {argument} must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices")
    if a.dtype not in _DTYPES:
        if a.dtype in dtypes.Half:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtype_name(a.dtype)}")
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtype_name(a.dtype)}")
    return a


def flat(a: Tensor) -> Tensor:
    """(b, m, n)."""
    if a.ndim == 3:
        return a
    n = 1
    for d in a.shape[:-2]:
        n *= d
    return a.reshape((n, *a.shape[-2:]))


def required(x: Tensor, good: Callable[[], Tensor], message: str) -> Tensor:
    """`x`. LinAlgError unless `good()` holds everywhere: at once, and in compiled functions when they are called."""
    with no_grad():
        if here.recorder.tracing:
            ok = good().all()
        elif bool(good().all()):
            return x
        else:
            raise LinAlgError(message)
    return _check(message)(x, ok)


@lru_cache
def _check(message: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The composite that fails with a message; its name is of the function that the message begins with, and its last word."""

    def required(x: Tensor, ok: Tensor) -> Tensor:
        return checked(x, ok)

    required.__name__ = f"{message.partition(':')[0].replace('.', '_')}_{message.rstrip('.').rpartition(' ')[2].replace('-', '_')}"
    meaning(required.__name__, LinAlgError, message)
    return composite(required)


def mT(x: Tensor) -> Tensor:
    """The matrices transposed."""
    return x.transpose(-2, -1)


def mH(x: Tensor) -> Tensor:
    """The matrices transposed, complex numbers conjugated."""
    return conj(x.transpose(-2, -1))


def conj(x: Tensor) -> Tensor:
    """Complex numbers conjugated, real ones as they are."""
    return apply("conj", x) if x.dtype.kind == "c" else x


def real(x: Tensor) -> Tensor:
    """The real parts of complex numbers, real ones as they are."""
    return apply("real", x) if x.dtype.kind == "c" else x


def magnitude(x: Tensor) -> Tensor:
    """The absolute values, real."""
    return apply("magnitude" if x.dtype.kind == "c" else "abs", x)
