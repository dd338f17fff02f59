"""Window functions, as vectors."""

from __future__ import annotations

import math
from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.common import Tensor, apply, cast, dtypes, get_default_dtype, scalar, static_int
from ingot.functions.from_data import finish
from ingot.functions.gamma import bessel

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


def _window(name: str, n: int, periodic: bool, kind: str, terms: tuple[float, ...], dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    n = static_int(n, "window_length")
    if n < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={n}")
    dtype = dtype or get_default_dtype()
    if dtype.kind != "f":
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype!r}")
    out = _make(n, n if periodic else n - 1, kind, terms, dtype)
    return finish(out, device, requires_grad)


@composite
def _make(n: int, period: int, kind: str, terms: tuple[float, ...], dtype: dtypes.DType) -> Tensor:
    if n <= 1:
        return apply("broadcast", scalar(1, dtype), attrs=((n,),))
    place = apply("iota", attrs=(dtypes.f64, (n,), 0)) * (1.0 / period)
    if kind == "kaiser":

        side = 1.0 - (place * 2.0 - 1.0) * (place * 2.0 - 1.0)
        root = apply("sqrt", apply("maximum", side, scalar(0, dtypes.f64))) * terms[0]
        return cast(bessel(root, 0, False) / bessel(scalar(terms[0], dtypes.f64), 0, False), dtype)
    if kind == "triangle":
        return cast(1.0 - apply("abs", place * 2.0 - 1.0), dtype)
    total = place * 0.0 + terms[0]
    for k, weight in enumerate(terms[1:], 1):
        total = total + apply("cos", place * (2 * math.pi * k)) * weight
    return cast(total, dtype)


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """0.5 - 0.5 cos(2 pi k / N), N the length (periodic) or the length less one. RuntimeError for a negative length.

    >>> ingot.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann_window", window_length, periodic, "cosine", (0.5, -0.5), dtype, device, requires_grad)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: dtypes.DType | None = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """alpha - beta cos(2 pi k / N). RuntimeError for a negative length."""
    return _window("hamming_window", window_length, periodic, "cosine", (float(alpha), -float(beta)), dtype, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """0.42 - 0.5 cos(2 pi k / N) + 0.08 cos(4 pi k / N). RuntimeError for a negative length."""
    return _window("blackman_window", window_length, periodic, "cosine", (0.42, -0.5, 0.08), dtype, device, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A triangle from 0 up to 1 and back. RuntimeError for a negative length."""
    return _window("bartlett_window", window_length, periodic, "triangle", (), dtype, device, requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: dtypes.DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """I0(beta sqrt(1 - (2k / N - 1)**2)) / I0(beta), I0 the Bessel function `ingot.i0`. RuntimeError for a negative length."""
    return _window("kaiser_window", window_length, periodic, "kaiser", (float(beta),), dtype, device, requires_grad)
