"""Random bits: Philox, written out, so that they are the same everywhere."""

from __future__ import annotations

from ingot.interchange.stablehlo.emit.writer import V, Writer, emits, empty
from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.ops.creation import PHILOX_M, PHILOX_W

__all__: list[str] = []


def _halves(w: Writer, x: V) -> tuple[V, V]:
    high = w.op("shift_right_logical", x, w.like(32, x))
    return w.cast(x, dtypes.u32), w.cast(high, dtypes.u32)


@emits("random_bits")
def _bits(w: Writer, n: Node, xs: list[V]) -> V:
    shape = n.outputs[0].type.shape
    lead = xs[0].shape
    count = 1
    for d in shape[len(lead) :]:
        count *= d
    if empty(shape):
        return w.constant(0, dtypes.u32, shape)
    blocks = -(-count // 4)
    full = (*lead, blocks)
    seed, offset = (w.broadcast(w.reshape(w.cast(x, dtypes.u64), (*lead, 1)), full) for x in xs)
    counter = w.op("add", offset, w.iota(dtypes.u64, full, len(lead)))
    zero = w.constant(0, dtypes.u32, full)
    c = [*_halves(w, counter), zero, zero]
    k0, k1 = _halves(w, seed)
    for r in range(10):
        products = [w.op("multiply", w.cast(x, dtypes.u64), w.constant(m, dtypes.u64, full)) for x, m in zip((c[0], c[2]), PHILOX_M)]
        (a_low, a_high), (b_low, b_high) = (_halves(w, p) for p in products)
        c = [w.op("xor", w.op("xor", b_high, c[1]), k0), b_low, w.op("xor", w.op("xor", a_high, c[3]), k1), a_low]
        if r < 9:
            k0, k1 = (w.op("add", k, w.constant(v, dtypes.u32, full)) for k, v in zip((k0, k1), PHILOX_W))
    words = w.concatenate([w.reshape(x, (*full, 1)) for x in c], len(full))
    flat = w.reshape(words, (*lead, 4 * blocks))
    return w.reshape(w.slice(flat, (0,) * len(flat.shape), (*lead, count)), shape)
