"""Functions of integers: greatest common divisors, least common multiples, indices of flattened tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.common import Tensor, apply, cast_out, check_tensor, dtypes, operands, refuse, scalar, static_int

__all__ = ["gcd", "lcm", "unravel_index"]

# Euclid's algorithm takes the most steps on neighbours in Fibonacci's sequence: how many fit, by the bits of the dtype
_STEPS = {8: 13, 16: 24, 32: 47, 64: 93}


def _integers(name: str, input: Any, other: Any) -> tuple[Tensor, ...]:
    check_tensor(name, input)
    check_tensor(name, other, "other", 2)
    a, b = operands(name, input, other)
    if a.dtype.kind not in "iu":
        raise refuse(name, a.dtype)
    return a, b


def _magnitude(x: Tensor) -> Tensor:
    return apply("abs", x) if x.dtype.kind == "i" else x


@composite
def _gcd(a: Tensor, b: Tensor) -> Tensor:
    x, y = _magnitude(a), _magnitude(b)
    zero, one = scalar(0, x.dtype), scalar(1, x.dtype)
    for _ in range(_STEPS[x.dtype.bits]):
        done = y == 0
        x, y = apply("select", done, x, y), apply("select", done, zero, apply("fmod", x, apply("select", done, one, y)))
    return x


def gcd(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The greatest common divisor, elementwise and never negative; gcd(0, 0) is 0. RuntimeError unless integers.

    >>> ingot.gcd(ingot.tensor([5, 10, 15]), ingot.tensor([3, 4, 5]))
    tensor([1, 2, 5])
    """
    return cast_out(_gcd(*_integers("gcd", input, other)), out)


@composite
def _lcm(a: Tensor, b: Tensor) -> Tensor:
    divisor = _gcd(a, b)
    none = divisor == 0
    return _magnitude(apply("floor_divide", _magnitude(a), apply("select", none, scalar(1, a.dtype), divisor)) * _magnitude(b))


def lcm(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The least common multiple, elementwise and never negative; 0 beside a 0. RuntimeError unless integers.

    >>> ingot.lcm(ingot.tensor([5, 10, 15]), ingot.tensor([3, 4, 5]))
    tensor([15, 20, 15])
    """
    return cast_out(_lcm(*_integers("lcm", input, other)), out)


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates of flat `indices` in a tensor of `shape`, one int64 tensor per dim. TypeError unless integers;
    ValueError for a negative extent.

    >>> ingot.unravel_index(ingot.tensor([0, 5]), (2, 3))
    (tensor([0, 1]), tensor([0, 2]))
    """
    check_tensor("unravel_index", indices, "indices")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"unravel_index(): indices must have an integer dtype, got {indices.dtype}")
    extents = [static_int(d, "shape") for d in (shape if isinstance(shape, (tuple, list)) else (shape,))]
    if any(d < 0 for d in extents):
        raise ValueError(f"unravel_index(): shape must not have negative extents, got {tuple(extents)}")
    found: list[Tensor] = []
    rest = indices.to(dtypes.i64)
    for extent in reversed(extents):
        found.append(rest % max(extent, 1))
        rest = rest // max(extent, 1)
    return tuple(reversed(found))
