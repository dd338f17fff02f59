"""`ingot.signal.windows`: window functions as vectors of length `M`.

All take `sym` (True: symmetric, for filters; False: one period of a longer one, for spectra), `dtype` (float32 or float64), `layout`,
`device`, `requires_grad`. ValueError for a negative length, another dtype, or a parameter out of range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ingot._tensor.composites import composite
from ingot._tensor.devices import as_device
from ingot.functions.common import Tensor, apply, cast, dtypes, get_default_dtype, scalar, static_int
from ingot.functions.from_data import finish
from ingot.functions.gamma import bessel

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann", "kaiser",
    "nuttall",
]  # fmt: skip


def _triangle(k: Tensor, span: float) -> Tensor:
    return 1.0 - apply("abs", k * (2 / span) - 1.0)


def _cosines(k: Tensor, span: float, *a: float) -> Tensor:
    total = k * 0.0
    for i, weight in enumerate(a):
        total = total + apply("cos", k * (2 * math.pi * i / span)) * (weight * (-1) ** i)
    return total


def _sine(k: Tensor, span: float) -> Tensor:
    return apply("sin", (k + 0.5) * (math.pi / (span + 1)))


def _exponential(k: Tensor, span: float, center: float | None, tau: float) -> Tensor:
    return apply("exp", apply("abs", k - (span / 2 if center is None else center)) * (-1 / tau))


def _gaussian(k: Tensor, span: float, std: float) -> Tensor:
    z = (k - span / 2) * (1 / std)
    return apply("exp", z * z * -0.5)


def _kaiser(k: Tensor, span: float, beta: float) -> Tensor:
    z = k * (2 / span) - 1.0
    root = apply("sqrt", apply("maximum", 1.0 - z * z, scalar(0, dtypes.f64)))
    return bessel(root * beta, 0, False) / bessel(scalar(beta, dtypes.f64), 0, False)


_RULES: dict[str, Callable[..., Tensor]] = {
    "bartlett": _triangle, "general_cosine": _cosines, "cosine": _sine, "exponential": _exponential, "gaussian": _gaussian,
    "kaiser": _kaiser,
}  # fmt: skip


@composite
def _points(name: str, n: int, span: int, parameters: tuple, dtype: dtypes.DType) -> Tensor:
    """The rule at 0, 1, … n - 1, in float64; `span` is the last point of a symmetric window."""
    if n <= 1:
        return apply("broadcast", scalar(1, dtype), attrs=((n,),))
    return cast(_RULES[name](apply("iota", attrs=(dtypes.f64, (n,), 0)), float(span), *parameters), dtype)


def _check(name: str, M: int, dtype: Any, layout: Any, device: Any) -> None:
    as_device(device)
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and "strided" not in str(layout):
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if (dtype or get_default_dtype()) not in (dtypes.f32, dtypes.f64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")


def _window(name: str, M: int, sym: bool, parameters: tuple, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    M = static_int(M, "M")
    out = _points(name, M, M - 1 if sym else M, parameters, dtype or get_default_dtype())
    return finish(out, device, requires_grad)


def bartlett(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A triangle from 0 up to 1 and back.

    >>> ingot.signal.windows.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    _check("bartlett", M, dtype, layout, device)
    return _window("bartlett", M, sym, (), dtype, device, requires_grad)


def general_cosine(
    M: int, *, a: Iterable[float], sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The sum of (-1)**i a[i] cos(2 pi i k / N), N the length (less one if `sym`). TypeError unless `a` is iterable.

    >>> ingot.signal.windows.general_cosine(5, a=[0.5, 0.5])
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    _check("general_cosine", M, dtype, layout, device)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    terms = tuple(float(x) for x in a)
    if not terms:
        raise ValueError("Coefficients cannot be empty")
    return _window("general_cosine", M, sym, terms, dtype, device, requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """alpha - (1 - alpha) cos(2 pi k / N).

    >>> ingot.signal.windows.general_hamming(3, alpha=0.5)
    tensor([0., 1., 0.])
    """
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hamming(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0.54 - 0.46 cos(2 pi k / N).

    >>> ingot.signal.windows.hamming(3)
    tensor([0.0800, 1.0000, 0.0800])
    """
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0.5 - 0.5 cos(2 pi k / N).

    >>> ingot.signal.windows.hann(4, sym=False)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0.42 - 0.5 cos(2 pi k / N) + 0.08 cos(4 pi k / N).

    >>> ingot.signal.windows.blackman(1)
    tensor([1.])
    """
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Nuttall's minimal four-term window: cosines of weights 0.3635819, 0.4891775, 0.1365995, 0.0106411.

    >>> ingot.signal.windows.nuttall(3)
    tensor([3.6280e-04, 1.0000e+00, 3.6280e-04])
    """
    terms = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(M, a=terms, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Half a period of the sine: sin(pi (k + 1/2) / (N + 1)).

    >>> ingot.signal.windows.cosine(3)
    tensor([0.5000, 1.0000, 0.5000])
    """
    _check("cosine", M, dtype, layout, device)
    return _window("cosine", M, sym, (), dtype, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """exp(-|k - center| / tau); the center is the middle by default, and may be given only if not `sym`.

    >>> ingot.signal.windows.exponential(3)
    tensor([0.3679, 1.0000, 0.3679])
    """
    _check("exponential", M, dtype, layout, device)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _window("exponential", M, sym, (None if center is None else float(center), float(tau)), dtype, device, requires_grad)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """exp(-((k - middle) / std)**2 / 2).

    >>> ingot.signal.windows.gaussian(3)
    tensor([0.6065, 1.0000, 0.6065])
    """
    _check("gaussian", M, dtype, layout, device)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", M, sym, (float(std),), dtype, device, requires_grad)


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """I0(beta sqrt(1 - (2 k / N - 1)**2)) / I0(beta), I0 the Bessel function `ingot.i0`.

    >>> ingot.signal.windows.kaiser(3, beta=2.0)
    tensor([0.4387, 1.0000, 0.4387])
    """
    _check("kaiser", M, dtype, layout, device)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", M, sym, (float(beta),), dtype, device, requires_grad)
