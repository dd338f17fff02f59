"""Random bits as XLA makes them, equal to the bit: Threefry and Philox; and numbers of no definite stream, from Ingot's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.bits import reinterpret, unsigned
from ingot.interchange.stablehlo.ops.movement import dims_of
from ingot.interchange.stablehlo.rules import Call, dtype_of, op
from ingot.ir import dtypes

__all__: list[str] = []

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PHILOX = (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85)


def _u32(value: int) -> Tensor:
    return scalar(value, dtypes.u32)


def _words(x: Tensor) -> tuple[Tensor, Tensor]:
    """The low and the high half of u64."""
    return cast(x, dtypes.u32), cast(apply("shift_right", x, scalar(32, dtypes.u64)), dtypes.u32)


def _whole(low: Tensor, high: Tensor) -> Tensor:
    wide = apply("shift_left", cast(high, dtypes.u64), scalar(32, dtypes.u64))
    return apply("bitwise_or", wide, cast(low, dtypes.u64))


def threefry(key: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 of 20 rounds. Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011)."""
    k = (*key, apply("bitwise_xor", apply("bitwise_xor", *key), _u32(0x1BD11BDA)))
    a, b = apply("add", x[0], k[0]), apply("add", x[1], k[1])
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            a = apply("add", a, b)
            turned = apply("bitwise_or", apply("shift_left", b, _u32(r)), apply("shift_right", b, _u32(32 - r)))
            b = apply("bitwise_xor", turned, a)
        a = apply("add", a, k[(i + 1) % 3])
        b = apply("add", b, apply("add", k[(i + 2) % 3], _u32(i + 1)))
    return a, b


def _multiplied(x: Tensor, by: int) -> tuple[Tensor, Tensor]:
    return _words(apply("mul", cast(x, dtypes.u64), scalar(by, dtypes.u64)))


def philox(key: tuple[Tensor, Tensor], x: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Philox-4x32 of 10 rounds, from the same source."""
    a, b, c, d = x
    k0, k1 = key
    for i in range(10):
        low0, high0 = _multiplied(a, _PHILOX[0])
        low1, high1 = _multiplied(c, _PHILOX[1])
        a, b, c, d = (apply("bitwise_xor", apply("bitwise_xor", high1, b), k0), low1,
                      apply("bitwise_xor", apply("bitwise_xor", high0, d), k1), low0)  # fmt: skip
        if i < 9:
            k0, k1 = apply("add", k0, _u32(_PHILOX[2])), apply("add", k1, _u32(_PHILOX[3]))
    return a, b, c, d


def _at(x: Tensor, i: int) -> Tensor:
    return apply("reshape", apply("slice", x, attrs=((i,), (i + 1,), (1,))), attrs=((),))


def _counts(start: Tensor, n: int) -> Tensor:
    return apply("add", apply("iota", attrs=(dtypes.u64, (n,), 0)), start)


@op("rng_bit_generator")
def rng_bit_generator(c: Call, initial_state: Tensor, *, rng_algorithm: str) -> tuple[Tensor, Tensor]:
    """The key is the state's first number, counted is from its second one on."""
    state = initial_state
    if state.dtype is dtypes.u32:
        raise NotImplementedError("a state of 32-bit numbers")
    bits_type = c.types[1]
    shape = bits_type.shape
    if shape is None or None in shape:
        raise TypeError(f"bits of the type {bits_type}")
    to = dtype_of(bits_type)
    algorithm = "PHILOX" if rng_algorithm == "DEFAULT" else rng_algorithm
    made = _threefry_bits if algorithm == "THREE_FRY" else _philox_bits
    after, bits = made(state, shape, to.bits == 64)  # type: ignore[arg-type]
    return after, reinterpret(cast(bits, unsigned(to)) if to.bits < 32 else bits, to)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Elements of several vectors, one of each in turn."""
    n = parts[0].shape[0]
    columns = [apply("reshape", p, attrs=((n, 1),)) for p in parts]
    return apply("reshape", apply("concatenate", *columns, attrs=(1,)), attrs=((n * len(parts),),))


def _first(x: Tensor, n: int) -> Tensor:
    return apply("slice", x, attrs=((0,), (n,), (1,)))


def _threefry_bits(state: Tensor, shape: tuple[int, ...], wide: bool) -> tuple[Tensor, Tensor]:
    """Words of 32 bits come in pairs, which lie along the first dim of an even extent, or the longest one."""
    key, start = _words(_at(state, 0)), _at(state, 1)
    dims = shape or (1,)
    even = [d for d, n in enumerate(dims) if n % 2 == 0]
    split = even[0] if even else dims.index(max(dims))
    half = tuple((n + 1) // 2 if d == split and not wide else n for d, n in enumerate(dims))
    count = int(np.prod(half))
    a, b = threefry(key, _words(_counts(start, count)))
    if wide:
        bits = _whole(a, b)
    else:
        pair = [apply("reshape", v, attrs=((*half[: split + 1], 1, *half[split + 1 :]),)) for v in (a, b)]
        both = apply("concatenate", *pair, attrs=(split + 1,))
        full = tuple(2 * n if d == split else n for d, n in enumerate(half))
        bits = apply("slice", apply("reshape", both, attrs=(full,)), attrs=((0,) * len(dims), dims, (1,) * len(dims)))
    return _vector(_at(state, 0), apply("add", start, scalar(count, dtypes.u64))), apply("reshape", bits, attrs=(shape,))


def _vector(*numbers: Tensor) -> Tensor:
    return apply("concatenate", *(apply("reshape", v, attrs=((1,),)) for v in numbers), attrs=(0,))


def _philox_bits(state: Tensor, shape: tuple[int, ...], wide: bool) -> tuple[Tensor, Tensor]:
    """The counter has 128 bits: the second and third number of the state, or the second and the key where there are two.

    XLA adds to the lower 64 of them in the state that it gives back.
    """
    n = int(np.prod(shape))
    key, low = _at(state, 0), _at(state, 1)
    long = state.shape[0] > 2
    high = _at(state, 2) if long else key
    each = 2 if wide else 4
    count = (n + each - 1) // each
    counts = _counts(low, count)
    over = cast(counts < low, dtypes.u64)
    words = philox(_words(key), (*_words(counts), *_words(apply("add", over, high))))
    bits = _first(_joined((_whole(*words[:2]), _whole(*words[2:])) if wide else words), n)
    after = apply("add", low, scalar(count, dtypes.u64))
    return _vector(*((key, after, high) if long else (high, after))), apply("reshape", bits, attrs=(shape,))


@op("rng", known=("shape",))
def rng(c: Call, a: Tensor, b: Tensor, shape: np.ndarray, *, rng_distribution: str) -> Tensor:
    """Between a and b, or of mean a and deviation b."""
    dims, dtype = dims_of(shape), c.dtype
    if rng_distribution == "NORMAL":
        return a + b * ingot.randn(*dims, dtype=dtype)
    if dtype.kind == "f":
        return a + (b - a) * ingot.rand(*dims, dtype=dtype)
    part = ingot.rand(*dims, dtype=ingot.float64)
    return cast(a, dtypes.i64).add(cast(part * cast(b - a, dtypes.f64), dtypes.i64)).to(dtype)
