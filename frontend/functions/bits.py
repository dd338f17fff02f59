"""Functions that look into a float's bits: mantissa and exponent, the next number."""

from __future__ import annotations

from typing import NamedTuple

from ingot._tensor.composites import composite
from ingot.functions.common import (
    Tensor,
    apply,
    cast,
    cast_out,
    check_tensor,
    common_dtype,
    dtypes,
    emit_out,
    operands,
    refuse,
    scalar,
    stop_gradient,
    upcast,
)

__all__ = ["frexp", "nextafter"]

# dtype -> the integer of its bits, the mantissa's bits, the exponent's bias
_LAYOUT = {
    dtypes.f32: (dtypes.i32, 23, 127), dtypes.f64: (dtypes.i64, 52, 1023), dtypes.f16: (dtypes.i16, 10, 15),
    dtypes.bf16: (dtypes.i16, 7, 127),
}  # fmt: skip


class Frexp(NamedTuple):
    """What `frexp` returns."""

    mantissa: Tensor
    exponent: Tensor


def frexp(input: Tensor, *, out: tuple | None = None) -> Frexp:
    """(mantissa, exponent) with input = mantissa * 2**exponent and the mantissa's magnitude in [0.5, 1); the exponent is int32.

    Zeros, infinities and NaN are their own mantissa, with exponent 0. RuntimeError unless floating.

        >>> ingot.frexp(ingot.tensor([8.0, 0.3]))
        Frexp(mantissa=tensor([0.5000, 0.6000]), exponent=tensor([ 4, -1], dtype=ingot.int32))
    """
    check_tensor("frexp", input)
    if input.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return emit_out(Frexp(*_frexp(input)), out)


def _power_of_two(exponent: Tensor, dtype: dtypes.DType) -> Tensor:
    kind, mantissa, bias = _LAYOUT[dtype]
    return apply("bitcast", apply("shift_left", exponent + bias, scalar(mantissa, kind)), attrs=(dtype,))


@composite
def _frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    wide = upcast(x)
    kind, mantissa, bias = _LAYOUT[wide.dtype]
    lift = mantissa + 2  # denormals are made normal first
    tiny = apply("logical_and", apply("abs", wide) < 2.0 ** (1 - bias), wide != 0)
    scaled = apply("select", tiny, wide * 2.0**lift, wide)
    bits = apply("bitcast", scaled, attrs=(kind,))
    field = apply("bitwise_and", apply("shift_right", bits, scalar(mantissa, kind)), scalar(2 * bias + 1, kind))
    plain = apply("logical_or", field == 2 * bias + 1, wide == 0)
    exponent = apply("select", plain, scalar(0, kind), field - (bias - 1))
    half = exponent // 2  # in two steps: one would leave the range
    part = scaled * _power_of_two(-half, wide.dtype) * _power_of_two(half - exponent, wide.dtype)
    exponent = apply("select", tiny, exponent - lift, exponent)
    return cast(part, x.dtype), cast(exponent, dtypes.i32)


def nextafter(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The next representable number after `input` towards `other`, elementwise. RuntimeError unless floating.

    >>> ingot.nextafter(ingot.tensor(1.0), ingot.tensor(2.0)) > 1
    tensor(True)
    """
    check_tensor("nextafter", input)
    check_tensor("nextafter", other, "other", 2)
    dtype = common_dtype(input, other)
    if dtype.kind != "f":
        raise refuse("nextafter", dtype)
    return cast_out(_nextafter(*operands("nextafter", input, other, dtype=dtype)), out)


@composite
def _nextafter(a: Tensor, b: Tensor) -> Tensor:
    kind, _, _ = _LAYOUT[a.dtype]
    bits = apply("bitcast", a, attrs=(kind,))
    away = apply("logical_xor", b < a, bits < 0)  # the magnitude falls
    moved = apply("bitcast", bits + apply("select", away, scalar(-1, kind), scalar(1, kind)), attrs=(a.dtype,))
    first = apply("copysign", apply("bitcast", scalar(1, kind), attrs=(a.dtype,)), b)
    moved = apply("select", a == 0, first, moved)
    wrong = apply("logical_or", a != a, b != b)
    found = stop_gradient(apply("select", wrong, a + b, apply("select", a == b, b, moved)))
    smooth = apply("logical_and", apply("logical_and", a != b, found != 0), apply("logical_and", a - a == 0, found - found == 0))
    return apply("select", smooth, found + (a - stop_gradient(a)), found)  # torch's derivative: that of `input`
