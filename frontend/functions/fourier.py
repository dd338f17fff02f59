"""Fourier transforms of tensors: what `ingot.fft`, `stft` and `istft` are made of. All are composites over the op `fft`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ingot._tensor.composites import composite, routine
from ingot.functions.common import Tensor, apply, cast, dtypes, scalar

__all__: list[str] = []


def resized(x: Tensor, axis: int, n: int) -> Tensor:
    """`x` with `n` elements along an axis: the first ones, or zeros after them."""
    have = x.shape[axis]
    if have == n:
        return x
    if n < have:
        return part(x, axis, 0, n)
    none = (0,) * x.ndim
    high = tuple(n - have if d == axis else 0 for d in range(x.ndim))
    return apply("pad", x, scalar(0, x.dtype), attrs=(none, high, none))


def part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """Elements `start` to `stop` along an axis."""
    starts = tuple(start if d == axis else 0 for d in range(x.ndim))
    stops = tuple(stop if d == axis else n for d, n in enumerate(x.shape))
    return apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))


def _last(x: Tensor, axis: int) -> Tensor:
    """`x` with an axis as the last one."""
    if axis == x.ndim - 1:
        return x
    return apply("transpose", x, attrs=((*(d for d in range(x.ndim) if d != axis), axis),))


def _back(x: Tensor, axis: int) -> Tensor:
    """What `_last` has moved, in its place again."""
    if axis == x.ndim - 1:
        return x
    return apply("transpose", x, attrs=((*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)),))


def scaled(x: Tensor, factor: float) -> Tensor:
    """`x` times a real number."""
    if factor == 1.0:
        return x
    return apply("view_as_complex", apply("view_as_real", x) * factor) if x.dtype.kind == "c" else x * factor


@composite
def complex_transform(x: Tensor, axes: tuple[int, ...], sizes: tuple[int, ...], inverse: bool, scale: float) -> Tensor:
    """The transform of complex numbers along some axes, each first brought to its size."""
    for axis, n in zip(axes, sizes):
        x = resized(x, axis, n)
    for axis in axes:
        x = apply("fft", x, attrs=(axis, inverse))
    return scaled(x, scale)


@composite
def real_transform(x: Tensor, axis: int, n: int, scale: float) -> Tensor:
    """The first half of the transform of real numbers."""
    y = _last(resized(x, axis, n), axis)
    rows = apply("reshape", y, attrs=((y.numel() // n, n),))
    rows = part(_complex_rows(rows), 1, 0, n // 2 + 1) if n % 2 else _real_rows(rows)
    return _back(scaled(apply("reshape", rows, attrs=((*y.shape[:-1], n // 2 + 1),)), scale), axis)


@routine("fourier.real")
def _real_rows(x: Tensor) -> Tensor:
    """The first halves of transforms of rows of n real numbers, n even: of n / 2 complex ones, which has the even and odd ones' in it."""
    rows, n = x.shape
    half = n // 2
    z = apply("fft", apply("view_as_complex", apply("reshape", x, attrs=((rows, half, 2),))), attrs=(1, False))
    there = apply("concatenate", z, part(z, 1, 0, 1), attrs=(1,))
    back = apply("conj", apply("reverse", there, attrs=((1,),)))
    turn = _roots(half + 1, n, -1, 3, x.dtype)  # -i w ** k
    return scaled(there + back + turn * (there - back), 0.5)


@composite
def real_whole(x: Tensor, axis: int, n: int, scale: float) -> Tensor:
    """The whole transform of real numbers."""
    y = _last(resized(x, axis, n), axis)
    rows = apply("reshape", y, attrs=((y.numel() // n, n),))
    found = _complex_rows(rows) if n % 2 else _whole_rows(rows)
    return _back(scaled(apply("reshape", found, attrs=(tuple(y.shape),)), scale), axis)


def _complex_rows(x: Tensor) -> Tensor:
    return apply("fft", apply("complex", x, x * 0.0), attrs=(1, False))


@routine("fourier.whole")
def _whole_rows(x: Tensor) -> Tensor:
    """The transforms of rows of n real numbers, n even: their second halves are the conjugates of the first."""
    return _complex_rows(x)


@composite
def real_inverse(x: Tensor, axis: int, n: int, scale: float) -> Tensor:
    """n real numbers of the first half of their transform. What would not make them real, the first and middle imaginary parts, is
    not read."""
    half = n // 2
    y = _last(resized(x, axis, half + 1), axis)
    last = y.ndim - 1
    if n % 2:
        y = _real_ends(y, n)
        mirrored = apply("conj", apply("reverse", part(y, last, 1, half + 1), attrs=((last,),)))
        full = apply("concatenate", y, mirrored, attrs=(last,))
        return _back(apply("real", apply("fft", full, attrs=(last, True))) * scale, axis)
    rows = _rows_of_halves(apply("reshape", y, attrs=((y.numel() // (half + 1), half + 1),)))
    return _back(apply("reshape", rows, attrs=((*y.shape[:-1], n),)) * scale, axis)


@routine("fourier.halves")
def _rows_of_halves(x: Tensor) -> Tensor:
    """The rows of n real numbers, n even, whose transforms have these first halves: what `_real_rows` does, backwards, times n."""
    rows, half = x.shape[0], x.shape[1] - 1
    n = 2 * half
    y = _real_ends(x, n)
    back = apply("conj", apply("reverse", y, attrs=((1,),)))
    turn = _roots(half + 1, n, 1, 1, x.dtype.to_real())  # i w ** -k
    z = part(y + back + turn * (y - back), 1, 0, half)
    pairs = apply("view_as_real", apply("fft", z, attrs=(1, True)))
    return apply("reshape", pairs, attrs=((rows, n),))


def _real_ends(y: Tensor, n: int) -> Tensor:
    """Halves of transforms of n numbers without what would not make these real."""
    half = n // 2
    place = apply("iota", attrs=(dtypes.i64, (half + 1,), 0))
    ends = apply("logical_or", place == 0, place == half) if n % 2 == 0 else place == 0
    im = apply("imag", y)
    return apply("complex", apply("real", y), apply("select", ends, scalar(0, im.dtype), im))


def _roots(count: int, n: int, sign: int, quarters: int, dtype: dtypes.DType) -> Tensor:
    """i ** quarters * exp(sign 2 pi i k / n) for k < count: by sines of at most an eighth of a turn, which are exact."""
    k = apply("iota", attrs=(dtypes.f64, (count,), 0))
    turns = k * (4.0 * sign) + float(quarters * n)  # in quarter turns, times n
    whole = apply("round", turns * (1.0 / n))
    angle = (turns - whole * float(n)) * (math.pi / 2 / n)
    c, s = apply("cos", angle), apply("sin", angle)
    place = whole - apply("floor", whole * 0.25) * 4.0
    odd = apply("logical_or", place == 1, place == 3)
    re, im = apply("select", odd, s, c), apply("select", odd, c, s)
    re = apply("select", apply("logical_or", place == 1, place == 2), -re, re)
    im = apply("select", place >= 2, -im, im)
    return apply("complex", cast(re, dtype), cast(im, dtype))


def sizes_of(x: Tensor, axes: Sequence[int], s: Sequence[int] | None) -> tuple[int, ...]:
    """How many elements each axis is brought to; -1 in `s` is as many as there are. RuntimeError for less than one."""
    sizes = [x.shape[a] if s is None or s[i] == -1 else s[i] for i, a in enumerate(axes)]
    for n in sizes:
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return tuple(int(n) for n in sizes)


def scale_of(norm: str | None, n: int, inverse: bool) -> float:
    """What a transform of n numbers is multiplied by. RuntimeError for a `norm` that does not exist."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1 / math.sqrt(n)
    return 1 / n if inverse is (norm != "forward") else 1.0
