"""`ingot.fft`: discrete Fourier transforms under torch's names, of any length, in complex64 and complex128, differentiable.

Lengths without large prime factors are products of small matrices (Cooley and Tukey's method), others convolutions of such (Bluestein's).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, get_default_dtype
from ingot.functions.arrange import roll
from ingot.functions.common import apply, cast, cast_out, check_tensor, dim_list, dtype_name, dtypes, one_dim, static_int
from ingot.functions.fourier import complex_transform, real_inverse, real_transform, real_whole, resized, scale_of, sizes_of
from ingot.functions.from_data import finish
from ingot.functions.numpy_names import install as _numpy_names

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "ihfft2",
    "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip


def _floating(name: str, x: Any) -> Tensor:
    check_tensor(name, x)
    if x.dtype in dtypes.Half:
        raise RuntimeError(f"Unsupported dtype {dtype_name(x.dtype)}")
    return x if x.dtype.kind in "fc" else cast(x, get_default_dtype())


def _real(name: str, x: Any) -> Tensor:
    x = _floating(name, x)
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {dtype_name(x.dtype)}")
    return x


def _complex(name: str, x: Any) -> Tensor:
    x = _floating(name, x)
    return cast(x, x.dtype.to_complex())


def _axes(x: Tensor, s: Sequence[int] | None, dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """The dims to transform, in the order given: those of `dim`, else the last of as many as `s` has, else all."""
    if s is not None and not isinstance(s, (tuple, list)):
        s = tuple(s)
    if dim is None:
        if s is None:
            return tuple(range(x.ndim))
        if len(s) > x.ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {x.ndim} dimensions.")
        return tuple(range(x.ndim - len(s), x.ndim))
    axes = tuple(one_dim(d, x.ndim) for d in ((dim,) if isinstance(dim, int) else dim))
    if len(set(axes)) != len(axes):
        raise RuntimeError("FFT dims must be unique")
    if s is not None and len(s) != len(axes):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    return axes


def _c2c(name: str, x: Any, s: Any, dim: Any, norm: str | None, inverse: bool, out: Any) -> Tensor:
    x = _floating(name, x)
    axes = _axes(x, s, dim)
    sizes = sizes_of(x, axes, s)
    scale = scale_of(norm, math.prod(sizes), inverse)
    if x.dtype.kind != "c":
        if not axes:
            return cast_out(cast(x, x.dtype.to_complex()), out)
        for axis, n in zip(axes[:-1], sizes[:-1]):
            x = resized(x, axis, n)
        x = real_whole(x, axes[-1], sizes[-1], scale)
        x = apply("conj", x) if inverse else x
        axes, sizes, scale = axes[:-1], sizes[:-1], 1.0
        return cast_out(complex_transform(x, axes, sizes, inverse, scale) if axes else x, out)
    return cast_out(complex_transform(x, axes, sizes, inverse, scale) if axes else x.clone(), out)


def _r2c(name: str, x: Any, s: Any, dim: Any, norm: str | None, inverse: bool, out: Any) -> Tensor:
    """Real to half of the complex ones: along the last axis, then along the others."""
    x = _real(name, x)
    axes = _axes(x, s, dim)
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    sizes = sizes_of(x, axes, s)
    scale = scale_of(norm, math.prod(sizes), inverse)
    for axis, n in zip(axes[:-1], sizes[:-1]):
        x = resized(x, axis, n)
    y = real_transform(x, axes[-1], sizes[-1], scale)
    if inverse:
        y = apply("conj", y)
    return cast_out(complex_transform(y, axes[:-1], sizes[:-1], inverse, 1.0) if len(axes) > 1 else y, out)


def _c2r(name: str, x: Any, s: Any, dim: Any, norm: str | None, inverse: bool, out: Any) -> Tensor:
    """Half of the complex ones to real: along the other axes, then along the last."""
    x = _complex(name, x)
    axes = _axes(x, s, dim)
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    whole = list(x.shape[a] for a in axes) if s is None else [x.shape[a] if v == -1 else v for a, v in zip(axes, s)]
    if s is None or s[-1] == -1:
        whole[-1] = 2 * (x.shape[axes[-1]] - 1)
    sizes = sizes_of(x, axes, whole)
    scale = scale_of(norm, math.prod(sizes), inverse)
    if len(axes) > 1:
        x = complex_transform(x, axes[:-1], sizes[:-1], inverse, 1.0)
    if not inverse:
        x = apply("conj", x)
    if out is not None and out.dtype.kind == "c":
        raise RuntimeError(f"{name} expects a floating point output tensor, but got {dtype_name(out.dtype)}")
    return cast_out(real_inverse(x, axes[-1], sizes[-1], scale), out)


_FORWARD = (
    '`norm` is "backward" (not scaled; the default), "ortho" (divided by the root of the number of elements) or "forward" (by it).'
)
_INVERSE = (
    '`norm` is "backward" (divided by the number of elements; the default), "ortho" (by its root) or "forward" (not scaled).'
)
_SIZED = "Each dim is first cut, or filled with zeros, to the given size."
_ERRORS = "RuntimeError for sizes below 1, float16 and bfloat16, or dims named twice."
Transform = Callable[..., Tensor]


def _one(name: str, kind: Transform, inverse: bool, doc: str, example: str) -> Transform:
    """A transform along one dim."""

    def function(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        if not input.ndim:
            raise IndexError("Dimension specified as -1 but tensor has no dimensions")
        return kind(name, input, None if n is None else (static_int(n, "n"),), (dim,), norm, inverse, out)

    return _named(function, name, doc, inverse, example)


def _two(name: str, kind: Transform, inverse: bool, doc: str, example: str) -> Transform:
    """A transform along two dims."""

    def function(
        input: Tensor, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None, *, out: Tensor | None = None
    ) -> Tensor:
        return kind(name, input, s, dim, norm, inverse, out)

    return _named(function, name, doc, inverse, example)


def _any(name: str, kind: Transform, inverse: bool, doc: str, example: str) -> Transform:
    """A transform along any dims."""

    def function(
        input: Tensor, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None, *,
        out: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        return kind(name, input, s, dim, norm, inverse, out)

    return _named(function, name, doc, inverse, example)


def _named(function: Transform, name: str, doc: str, inverse: bool, example: str) -> Transform:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\n    {_SIZED} {_INVERSE if inverse else _FORWARD}\n    {_ERRORS}\n\n{example}"
    return function


_RAMP = "    >>> ingot.fft.{0}\n    {1}\n    "
fft = _one(
    "fft", _c2c, False, "The discrete Fourier transform along `dim`, complex: the sums of x[j] exp(-2 pi i j k / n).",
    _RAMP.format("fft(ingot.tensor([1.0, 0.0, -1.0, 0.0]))", "tensor([0.+0.j, 2.+0.j, 0.+0.j, 2.-0.j])"),
)  # fmt: skip
ifft = _one("ifft", _c2c, True, "The inverse of `fft`.", _RAMP.format("ifft(ingot.tensor([4.0, 0.0]))", "tensor([2.-0.j, 2.-0.j])"))
rfft = _one(
    "rfft", _r2c, False, "`fft` of real numbers: its first n // 2 + 1 elements, of which the others are conjugates.",
    _RAMP.format("rfft(ingot.tensor([1.0, 0.0, -1.0, 0.0]))", "tensor([0.+0.j, 2.+0.j, 0.+0.j])"),
)  # fmt: skip
irfft = _one(
    "irfft", _c2r, True, "The inverse of `rfft`: `n` real numbers, by default 2 (m - 1) of m.",
    _RAMP.format("irfft(ingot.tensor([4.0, 0.0]))", "tensor([2., 2.])"),
)  # fmt: skip
hfft = _one(
    "hfft", _c2r, False, "`fft` of what is conjugate to itself in reverse, given by its first half: `n` real numbers.",
    _RAMP.format("hfft(ingot.tensor([1.0, 1.0]))", "tensor([2., 0.])"),
)  # fmt: skip
ihfft = _one("ihfft", _r2c, True, "The inverse of `hfft`: the first half of `ifft` of real numbers.",
             _RAMP.format("ihfft(ingot.tensor([2.0, 0.0]))", "tensor([1.-0.j, 1.-0.j])"))  # fmt: skip

_SHAPE = "    >>> ingot.fft.{0}(ingot.ones(4, 6)).shape\n    ingot.Size([{1}])\n    "
fft2 = _two("fft2", _c2c, False, "`fft` along two dims.", _SHAPE.format("fft2", "4, 6"))
ifft2 = _two("ifft2", _c2c, True, "The inverse of `fft2`.", _SHAPE.format("ifft2", "4, 6"))
rfft2 = _two("rfft2", _r2c, False, "`fft2` of real numbers, of which the last dim keeps its first half.", _SHAPE.format("rfft2", "4, 4"))
irfft2 = _two("irfft2", _c2r, True, "The inverse of `rfft2`: real numbers.", _SHAPE.format("irfft2", "4, 10"))
hfft2 = _two("hfft2", _c2r, False, "`hfft` along the last of two dims, after `fft` along the other.", _SHAPE.format("hfft2", "4, 10"))
ihfft2 = _two("ihfft2", _r2c, True, "The inverse of `hfft2`.", _SHAPE.format("ihfft2", "4, 4"))
fftn = _any("fftn", _c2c, False, "`fft` along all dims, or those of `dim`.", _SHAPE.format("fftn", "4, 6"))
ifftn = _any("ifftn", _c2c, True, "The inverse of `fftn`.", _SHAPE.format("ifftn", "4, 6"))
rfftn = _any("rfftn", _r2c, False, "`fftn` of real numbers, of which the last dim keeps its first half.", _SHAPE.format("rfftn", "4, 4"))
irfftn = _any("irfftn", _c2r, True, "The inverse of `rfftn`: real numbers.", _SHAPE.format("irfftn", "4, 10"))
hfftn = _any("hfftn", _c2r, False, "`hfft` along the last dim, after `fft` along the others.", _SHAPE.format("hfftn", "4, 10"))
ihfftn = _any("ihfftn", _r2c, True, "The inverse of `hfftn`.", _SHAPE.format("ihfftn", "4, 4"))


# -- frequencies -----------------------------------------------------------------------------------------------------


def _frequencies(name: str, n: int, count: int, wrap: int, d: float, out: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    dtype = dtype or get_default_dtype()
    if dtype.kind not in "fc":
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    k = apply("iota", attrs=(dtypes.i64, (count,), 0))
    k = apply("select", k >= wrap, k - n, k)
    return cast_out(finish(cast(k, dtype) * (1.0 / (n * d)), device, requires_grad), out)


def fftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies that the n elements of `fft` stand for, of samples `d` apart: 0, 1, ..., -2, -1 over n d.

    >>> ingot.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    n = static_int(n, "n")
    return _frequencies("fftfreq", n, n, (n + 1) // 2, d, out, dtype, device, requires_grad)


def rfftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: dtypes.DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The frequencies that the elements of `rfft` of n real numbers stand for: 0, 1, ..., n // 2 over n d.

    >>> ingot.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    n = static_int(n, "n")
    return _frequencies("rfftfreq", n, n // 2 + 1, n + 1, d, out, dtype, device, requires_grad)


def _shift(input: Tensor, dim: int | Sequence[int] | None, up: int) -> Tensor:
    axes = dim_list(dim, input.ndim)
    return roll(input, tuple((input.shape[a] + up) // 2 for a in axes), axes) if axes else input.clone()


def fftshift(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """`input` with the frequency 0 in the middle of its dims, or those of `dim`.

    >>> ingot.fft.fftshift(ingot.arange(4))
    tensor([2, 3, 0, 1])
    """
    check_tensor("fftshift", input)
    return _shift(input, dim, 0)


def ifftshift(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> ingot.fft.ifftshift(ingot.fft.fftshift(ingot.arange(5)))
    tensor([0, 1, 2, 3, 4])
    """
    check_tensor("ifftshift", input)
    return _shift(input, dim, 1)


_numpy_names(globals(), __all__)
