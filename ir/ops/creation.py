"""Ops without tensor inputs, and random bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Bool, DType, Number, c64, i64, u32, u64
from ingot.ir.facts import FREE, FUNCTION, Foldable, OverComplex, View
from ingot.ir.graph import Const, Node
from ingot.ir.loop.index import add, const, mul
from ingot.ir.loop.points import Point, linear
from ingot.ir.op import NO_GRAD, NO_INPUTS, OPS
from ingot.ir.ops.batching import batch_size, spread
from ingot.ir.ops.family import declare, need_axis, need_shape
from ingot.ir.ops.samples import case
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ShapeError
from ingot.ir.types import Shape, TensorType, shape_text, tensor_type

__all__ = ["constant", "iota", "random_bits", "philox"]


def _no_inputs(name: str, types: tuple[TensorType, ...]) -> None:
    if types:
        raise TypeError(f"{name}: takes no inputs, got {len(types)}")


def _constant_infer(types: tuple[TensorType, ...], value: Const) -> TensorType:
    _no_inputs("constant", types)
    if not isinstance(value, Const):
        raise TypeError(f"constant: value must be an ir.graph.Const, got {type(value).__name__}")
    return value.type


SELECTS, RUNS = 8, 4  # numbers, and runs of them, up to which one is selected, not loaded from a table


def _constant_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    payload: Const = node.attrs[0]
    array = payload.array()
    if array.size <= 1:  # a point of nothing is never read
        return p.w.const(array.reshape(()).item() if array.size else 0, payload.type.dtype)
    place = linear(idx, payload.type.shape)
    flat = array.reshape(-1)
    if not place.terms and isinstance(place.const, int) and 0 <= place.const < flat.size:
        return p.w.const(flat[place.const].item(), payload.type.dtype)
    at = p.w.index_value(place)
    runs = _runs(flat.tolist()) if payload.type.dtype.kind in "iu" else []
    if 0 < 4 * len(runs) <= flat.size and len(runs) <= RUNS:
        return _of_runs(p.w, at, runs, payload.type.dtype)
    if flat.size > SELECTS:
        return p.w.load(p.w.table(payload.type.dtype, flat.tobytes()), place, payload.type.dtype, mask)
    # a few numbers: one select for each
    out = p.w.const(flat[0].item(), payload.type.dtype)
    for k in range(1, flat.size):
        out = p.w.select(p.w.eq(at, k), p.w.const(flat[k].item(), payload.type.dtype), out)
    return out


def _runs(numbers: list[int]) -> list[tuple[int, int, int]]:
    """Numbers as runs of equal steps: where each begins, and its numbers as first + step * place. None of numbers near 64 bits."""
    out: list[tuple[int, int, int]] = []
    if max(map(abs, numbers)) >= 1 << 31:
        return out
    k = 0
    while k < len(numbers):
        step = numbers[k + 1] - numbers[k] if k + 1 < len(numbers) else 0
        out.append((k, numbers[k] - step * k, step))
        k += 1
        while k < len(numbers) and numbers[k] - numbers[k - 1] == step:
            k += 1
    return out


def _of_runs(w: Any, at: Any, runs: list[tuple[int, int, int]], dtype: DType) -> Any:
    """The number at a place."""
    out: Any = None
    for begin, first, step in runs:
        x = w.add(w.mul(at, step), first) if step else w.const(first, i64)
        out = x if out is None else w.select(w.ge(at, begin), x, out)
    return w.cast(out, dtype)


constant = declare(
    "constant", doc="A small array known when the graph is built.", attrs=("value",), infer=_constant_infer,
    ref=lambda value: value.array(), vjp=NO_GRAD, jvp=NO_GRAD, batch=NO_INPUTS,
    samples=lambda: [case(value=Const.of([3, -1], i64)), case(value=Const.of([3 - 2j, 1j], c64))]
    + [case(value=Const.of([[k * k % 7 - 2 for k in range(6)]] * 2, d)) for d in sorted(Number | Bool, key=str)],
    lowering=View(_constant_element, FREE, stays=True), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
)  # fmt: skip


def _iota_infer(types: tuple[TensorType, ...], dtype: DType, shape: Shape, axis: int) -> TensorType:
    _no_inputs("iota", types)
    if dtype in Bool:
        raise TypeError("iota: counts in a number dtype, got bool")
    need_shape("iota", shape)
    need_axis("iota", axis, len(shape))
    return tensor_type(dtype, shape)


def _iota_ref(dtype: DType, shape: tuple[int, ...], axis: int) -> np.ndarray:
    n = np.arange(shape[axis]).astype(np.float32 if dtype.kind == "f" and dtype.bits == 16 else dtype.numpy).astype(dtype.numpy)
    return np.broadcast_to(n.reshape((-1,) + (1,) * (len(shape) - 1 - axis)), shape).copy()


def _iota_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    dtype, _, axis = node.attrs
    return convert(p.w, p.w.index_value(idx[axis]), dtype)


iota = declare(
    "iota", doc="0, 1, 2, ... along `axis`, the same along the others.", attrs=("dtype", "shape", "axis"), sizes=("shape",),
    infer=_iota_infer, ref=_iota_ref, vjp=NO_GRAD, jvp=NO_GRAD, batch=NO_INPUTS,
    samples=lambda: [
        case(dtype=d, shape=s, axis=a)
        for d in sorted(Number, key=str)
        for s, a in (((5,), 0), ((2, 3), 0), ((2, 3, 1), 1), ((0, 2), 0))
    ],
    lowering=View(_iota_element, FREE, stays=True), foldable=Foldable.NEVER,
)  # fmt: skip


# -- random bits -----------------------------------------------------------------------------------------------------

# Philox4x32-10: multipliers of the two lanes, and what is added to the key each round
PHILOX_M = (0xD2511F53, 0xCD9E8D57)
PHILOX_W = (0x9E3779B9, 0xBB67AE85)


def philox(counter: np.ndarray, key: int) -> np.ndarray:
    """Philox4x32-10: u32[n, 4] for 64-bit block counters u64[n] (the high 64 bits are 0) under a 64-bit key."""
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c = [counter & mask, counter >> shift, np.zeros_like(counter), np.zeros_like(counter)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(PHILOX_M[0]), c[2] * np.uint64(PHILOX_M[1])
        c = [(p1 >> shift) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> shift) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + PHILOX_W[0]) & 0xFFFFFFFF, (k1 + PHILOX_W[1]) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32)


def _random_bits_infer(types: tuple[TensorType, ...], shape: Shape) -> TensorType:
    if len(types) != 2 or any(t.dtype is not i64 for t in types) or types[0] != types[1]:
        raise TypeError(f"random_bits: takes seed and offset, i64 of one shape, got {', '.join(map(str, types))}")
    need_shape("random_bits", shape)
    if shape[: types[0].rank] != types[0].shape:
        raise ShapeError(f"random_bits: the shape {shape_text(shape)} must begin with the shape of the seed, {types[0]}")
    return tensor_type(u32, shape)


def _random_bits_ref(seed: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n = int(np.prod(shape[seed.ndim :], dtype=np.int64))
    counters = np.arange(-(-n // 4), dtype=np.uint64)
    mask = (1 << 64) - 1
    streams = [
        philox(counters + np.uint64(int(o) & mask), int(s) & mask).reshape(-1)[:n] for s, o in zip(seed.reshape(-1), offset.reshape(-1))
    ]
    return np.array(streams, np.uint32).reshape(shape)


def _random_bits_batch(ins: Sequence[Expr], batched: Sequence[bool], shape: Shape) -> tuple[list[Expr], list[bool]]:
    return [OPS["random_bits"](*spread(ins, batched), shape=(batch_size(ins, batched), *shape))], [True]


def _philox_keys(w: Any, seed: Any, round: Any) -> tuple[Any, Any]:
    """What is added in a round, in the low halves of u64."""
    number = w.cast(w.index_value(round), u64)
    return tuple(w.add(x, w.mul(number, w.const(more, u64))) for x, more in zip((seed, w.shr(seed, w.const(32, u64))), PHILOX_W))


def _philox_words(w: Any, block: Any, keys: Any) -> list[Any]:
    """The four words of a block, in the low halves of u64: a product reads nothing else, so nothing is narrowed between rounds.

    keys(i): what round i adds, two u64. The rounds are a loop, two in a turn: ten in a row take three times as long to compile.
    """
    low, half = w.const(32, u64), w.const((1 << 32) - 1, u64)
    state = [w.acc(u64, 0) for _ in range(4)]
    for acc, x in zip(state, (block, w.shr(block, low))):
        w.set_acc(acc, x)
    with w.loop("serial", 5) as i:
        c = [w.get_acc(acc, u64) for acc in state]
        for r in range(2):
            k0, k1 = keys(add(mul(i, 2), const(r)))
            a = w.mul(w.and_(c[0], half), w.const(PHILOX_M[0], u64))
            b = w.mul(w.and_(c[2], half), w.const(PHILOX_M[1], u64))
            c = [w.xor(w.xor(w.shr(b, low), c[1]), k0), b, w.xor(w.xor(w.shr(a, low), c[3]), k1), a]
        for acc, x in zip(state, c):
            w.set_acc(acc, x)
    return [w.get_acc(acc, u64) for acc in state]


def _random_bits_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    w = p.w
    lead = node.inputs[0].type.rank  # a stream for each point of the seed
    seed, offset = (w.cast(p.at(v, idx[:lead], mask), u64) for v in node.inputs)
    place = linear(idx[lead:], node.outputs[0].type.shape[lead:])
    made = p.word(
        node, (seed, offset), place, lambda i: _philox_keys(w, seed, i), lambda number, keys: _philox_words(w, w.add(offset, number), keys)
    )  # fmt: skip
    if made is not None:
        return made
    at = w.cast(w.index_value(place), u64)
    block = w.add(offset, w.shr(at, w.const(2, u64)))
    low = w.const(32, u64)
    c = [w.cast(block, u32), w.cast(w.shr(block, low), u32), w.const(0, u32), w.const(0, u32)]
    k0, k1 = w.cast(seed, u32), w.cast(w.shr(seed, low), u32)
    for r in range(10):
        a = w.mul(w.cast(c[0], u64), w.const(PHILOX_M[0], u64))
        b = w.mul(w.cast(c[2], u64), w.const(PHILOX_M[1], u64))
        a_hi, b_hi = w.cast(w.shr(a, low), u32), w.cast(w.shr(b, low), u32)
        c = [w.xor(w.xor(b_hi, c[1]), k0), w.cast(b, u32), w.xor(w.xor(a_hi, c[3]), k1), w.cast(a, u32)]
        if r < 9:
            k0, k1 = w.add(k0, w.const(PHILOX_W[0], u32)), w.add(k1, w.const(PHILOX_W[1], u32))
    word = w.and_(w.cast(at, u32), w.const(3, u32))
    out = c[3]
    for k in (2, 1, 0):
        out = w.select(w.eq(word, w.const(k, u32)), c[k], out)
    return out


random_bits = declare(
    "random_bits", attrs=("shape",), sizes=("shape",), infer=_random_bits_infer, ref=_random_bits_ref, vjp=NO_GRAD, jvp=NO_GRAD,
    batch=_random_bits_batch,
    doc="Uniform random u32. Element i (in row-major order) is word i % 4 of Philox block offset + i // 4 under key `seed`. Where seed and "
    "offset have dims, `shape` begins with them, and each pair makes a stream of its own over the rest.",
    samples=lambda: [
        case(("i64", (), [seed]), ("i64", (), [offset]), shape=shape)
        for seed, offset in ((0, 0), (-1, 3), (1 << 40, (1 << 32) - 1))
        for shape in ((7,), (), (2, 4), (0,))
    ]
    + [
        case(("i64", (2,), [7, -7]), ("i64", (2,), [0, 5]), shape=(2, 7)),
        case(("i64", (2, 1), [7, 8]), ("i64", (2, 1), [0, 0]), shape=(2, 1, 3, 2)),
        case(("i64", (3,), [1, 2, 3]), ("i64", (3,), [4, 5, 6]), shape=(3,)),
        case(("i64", (0,)), ("i64", (0,)), shape=(0, 4)),
    ],
    source="Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011)",
    lowering=View(_random_bits_element, FUNCTION), foldable=Foldable.NEVER,
)  # fmt: skip

