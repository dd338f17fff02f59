"""One element of any value, computed where it is wanted.

`Pull.at(value, idx)` writes code for `value[idx]`: a load where the value has a buffer, otherwise the element of the
op that makes it, from elements of its inputs. Elementwise ops apply, movement ops rewrite the index, and so any chain
of them fuses into whatever asks. `mask` travels down with padding and concatenation: a load under a false mask reads
nothing and gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.ir import dtypes
from ingot.ir.facts import Elementwise
from ingot.ir.graph import Const as Payload
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Index
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.ops.indexing import place_of_indices
from ingot.ir.ops.scalars import both, convert

__all__ = ["Pull", "PULLABLE", "linear", "delinear"]

Point = tuple[Index, ...]
ZERO = ix.const(0)


def linear(idx: Point, shape: tuple[int, ...]) -> Index:
    """The row-major offset of a point."""
    out = ZERO
    for i, d in zip(idx, shape):
        if d != 1:
            out = ix.add(ix.mul(out, d), i)
    return out


def delinear(offset: Index, shape: tuple[int, ...], ranges: dict[str, int]) -> Point:
    """The point at a row-major offset."""
    out: list[Index] = []
    stride = 1
    total = 1
    for d in shape:
        total *= max(1, d)
    for k in range(len(shape) - 1, -1, -1):
        d = shape[k]
        if d <= 1:  # no loop runs over an empty dim
            out.append(ZERO)
            continue
        here = ix.div(offset, stride, ranges)
        if stride * d != total:  # the outermost needs no mod
            here = ix.mod(here, d, ranges)
        out.append(here)
        stride *= d
    return tuple(reversed(out))


def reshaped(idx: Point, src: tuple[int, ...], dst: tuple[int, ...], ranges: dict[str, int]) -> Point:
    """The point of `src` that a reshape puts at `idx` of `dst`: dims are matched in runs of equal size, so that
    only what is really merged or split costs a division."""
    if 0 in src:
        return (ZERO,) * len(src)
    out: list[Index] = []
    i = j = 0
    while i < len(src) or j < len(dst):
        si, sj = i, j
        ni = src[i] if i < len(src) else 1
        nj = dst[j] if j < len(dst) else 1
        i, j = min(i + 1, len(src)), min(j + 1, len(dst))
        while ni != nj:
            if ni < nj:
                ni *= src[i]
                i += 1
            else:
                nj *= dst[j]
                j += 1
        run = src[si:i]
        if len(run) == 1 and j - sj == 1:
            out.append(idx[sj])
        else:
            out.extend(delinear(linear(idx[sj:j], dst[sj:j]), run, ranges))
    return tuple(out)


class Pull:
    """Pulls elements of the values of `graph` into the kernel that `writer` writes.

    source(value) -> the buffer's name where the value is in memory, else None
    known: values that the kernel itself has made: value -> function of the point
    check(node) -> the code under which a failed bounds check of this node is reported
    """

    def __init__(self, graph: Graph, writer: KernelWriter, source: Callable[[Value], str | None], check: Callable[[Node], int]):
        self.graph = graph
        self.w = writer
        self.source = source
        self.check = check
        self.along_k = 0  # lanes, where a product at a point runs its vector along the contracted dim
        self.known: dict[Value, Callable[[Point], Scalar | None]] = {}

    def at(self, value: Value, idx: Point, mask: Scalar | None = None) -> Scalar:
        w = self.w
        key = (value, idx, mask.operand if mask else None)
        found = w.remembered(key)
        if found is not None:
            return found
        made = self.known.get(value)
        out = made(idx) if made is not None else None
        if out is None:
            buf = self.source(value)
            if buf is not None:
                return w.load(buf, linear(idx, value.type.shape), value.type.dtype, mask)
            node = self.graph.producers[value]
            rule = PULLABLE.get(node.op.name)
            if rule is not None:
                out = rule(self, node, idx, mask)
            elif 0 in value.type.shape:  # code at a point of nothing never runs; only its dtype counts
                out = convert(w, w.const(0, dtypes.f32), value.type.dtype)
            else:
                out = self._elementwise(node, idx, mask)
        w.remember(key, out, w.depth_of(out))
        return out

    def operand(self, value: Value, idx: Point, mask: Scalar | None) -> Scalar:
        """An elementwise operand at the point of the result: its dims align at the end, extent 1 repeats."""
        shape = value.type.shape
        tail = idx[len(idx) - len(shape) :]
        return self.at(value, tuple(ZERO if d == 1 else i for i, d in zip(tail, shape)), mask)

    def _elementwise(self, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
        args = [self.operand(v, idx, mask) for v in node.inputs]
        return apply(self.w, node, args)


def apply(w: KernelWriter, node: Node, args: list[Scalar]) -> Scalar:
    """One elementwise op on scalars; half types compute in f32 and round once."""
    out_dtype = node.outputs[0].type.dtype
    kind = node.op.lowering
    assert isinstance(kind, Elementwise), f"{node.op.name} cannot be computed at a point"
    if not kind.raw:
        args = [w.cast(a, dtypes.f32) if a.dtype in dtypes.Half else a for a in args]
    out = kind.scalar(w, *args, *node.attrs)
    if out.dtype is not out_dtype:
        out = convert(w, out, out_dtype)
    return out


# -- what is not elementwise -----------------------------------------------------------------------------------------


def _constant(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    payload: Payload = node.attrs[0]
    array = payload.array()
    if array.size <= 1:  # a point of nothing is never read
        return p.w.const(array.reshape(()).item() if array.size else 0, payload.type.dtype)
    # a small table: one select per element (large arrays are inputs, not constants)
    at = p.w.index_value(linear(idx, payload.type.shape))
    flat = array.reshape(-1)
    out = p.w.const(flat[0].item(), payload.type.dtype)
    for k in range(1, flat.size):
        out = p.w.select(p.w.eq(at, k), p.w.const(flat[k].item(), payload.type.dtype), out)
    return out


def _iota(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    dtype, _, axis = node.attrs
    return convert(p.w, p.w.index_value(idx[axis]), dtype)


def _reshape(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    src = node.inputs[0]
    buf = p.source(src) if src not in p.known else None
    if buf is not None:  # in memory the offset is the same
        return p.w.load(buf, linear(idx, node.outputs[0].type.shape), src.type.dtype, mask)
    return p.at(src, reshaped(idx, src.type.shape, node.outputs[0].type.shape, p.w.ranges), mask)


def _transpose(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    (perm,) = node.attrs
    inner: list[Any] = [None] * len(perm)
    for out_axis, axis in enumerate(perm):
        inner[axis] = idx[out_axis]
    return p.at(node.inputs[0], tuple(inner), mask)


def _broadcast(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    return p.operand(node.inputs[0], idx, mask)


def _slice(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    starts, _, steps = node.attrs
    return p.at(node.inputs[0], tuple(ix.add(ix.mul(i, s), ix.const(a)) for i, a, s in zip(idx, starts, steps)), mask)


def _reverse(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    (axes,) = node.attrs
    shape = node.outputs[0].type.shape
    return p.at(
        node.inputs[0], tuple(ix.add(ix.const(d - 1), ix.mul(i, -1)) if k in axes else i for k, (i, d) in enumerate(zip(idx, shape))), mask
    )


def _pad(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    low, _, interior = node.attrs
    src, fill = node.inputs
    w = p.w
    cond: Scalar | None = None
    inner: list[Index] = []
    for i, lo, gap, d, out in zip(idx, low, interior, src.type.shape, node.outputs[0].type.shape):
        if d == out:  # nothing is added in this dim
            inner.append(i)
            continue
        at = ix.add(i, ix.const(-lo))
        span = d + (d - 1) * gap if d else 0
        v = w.index_value(at)
        if lo > 0:
            cond = both(w, cond, w.ge(v, 0))
        if lo + span < out:
            cond = both(w, cond, w.lt(v, span))
        if gap:
            # below 0 the quotient means nothing, but there the mask is false
            cond = both(w, cond, w.eq(w.rem(v, gap + 1), 0))
            at = p.w.as_index(w.div(v, gap + 1))
        inner.append(at)
    outer = p.at(fill, (), mask)
    if cond is None:
        return p.at(src, tuple(inner), mask)
    if src.type.numel == 0:
        return outer
    return w.select(cond, p.at(src, tuple(inner), both(w, mask, cond)), outer)


def _concatenate(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    (axis,) = node.attrs
    w = p.w
    v = w.index_value(idx[axis])
    out: Scalar | None = None
    start = 0
    for piece in node.inputs:
        extent = piece.type.shape[axis]
        if extent == 0:
            continue
        inside = None if start == 0 else w.ge(v, start)
        if start + extent < node.outputs[0].type.shape[axis]:
            below = w.lt(v, start + extent)
            inside = below if inside is None else w.and_(inside, below)
        at = idx[:axis] + (ix.add(idx[axis], ix.const(-start)),) + idx[axis + 1 :]
        here = p.at(piece, at, mask if inside is None else both(w, mask, inside))
        out = here if out is None else w.select(w.ge(v, start), here, out)
        start += extent
    assert out is not None
    return out


def wrapped(p: Pull, node: Node, i: Scalar, extent: int, mask: Scalar | None) -> Index:
    """A loaded index, wrapped once if negative, checked, and made safe to load with."""
    w = p.w
    i = w.cast(i, dtypes.i64)
    i = w.select(w.lt(i, 0), w.add(i, extent), i)
    ok = w.and_(w.ge(i, 0), w.lt(i, extent))
    good = ok if mask is None else w.or_(ok, w.not_(mask))
    key = ("check", node, good.operand)
    if w.remembered(key) is None:
        w.remember(key, True, w.check(good, p.check(node)))
    return w.as_index(w.select(ok, i, w.const(0, dtypes.i64)))


def _gather(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    (axis,) = node.attrs
    src, index = node.inputs
    at = wrapped(p, node, p.at(index, idx, mask), src.type.shape[axis], mask)
    return p.at(src, idx[:axis] + (at,) + idx[axis + 1 :], mask)


def index_point(
    p: Pull, node: Node, src: Value, indices: tuple[Value, ...], axes: tuple[int, ...], idx: Point, mask: Scalar | None
) -> Point:
    """The point of `src` that advanced indexing reads (or writes) for the point `idx` of its result."""
    rank = max((v.type.rank for v in indices), default=0)
    at = place_of_indices(axes)
    inner = idx[at : at + rank]
    rest = iter(idx[:at] + idx[at + rank :])
    loaded = {a: wrapped(p, node, p.operand(v, inner, mask), src.type.shape[a], mask) for a, v in zip(axes, indices)}
    return tuple(loaded[a] if a in loaded else next(rest) for a in range(src.type.rank))


def _index_get(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    (axes,) = node.attrs
    src, *indices = node.inputs
    return p.at(src, index_point(p, node, src, tuple(indices), axes, idx, mask), mask)


PHILOX_M0, PHILOX_M1 = 0xD2511F53, 0xCD9E8D57
PHILOX_W0, PHILOX_W1 = 0x9E3779B9, 0xBB67AE85


def _random_bits(p: Pull, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
    """Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)."""
    w = p.w
    u32, u64 = dtypes.u32, dtypes.u64
    lead = node.inputs[0].type.rank  # a stream for each point of the seed
    seed, offset = (w.cast(p.at(v, idx[:lead], mask), u64) for v in node.inputs)
    at = w.cast(w.index_value(linear(idx[lead:], node.outputs[0].type.shape[lead:])), u64)
    block = w.add(offset, w.shr(at, w.const(2, u64)))
    low = w.const(32, u64)
    c = [w.cast(block, u32), w.cast(w.shr(block, low), u32), w.const(0, u32), w.const(0, u32)]
    k0, k1 = w.cast(seed, u32), w.cast(w.shr(seed, low), u32)
    for r in range(10):
        a = w.mul(w.cast(c[0], u64), w.const(PHILOX_M0, u64))
        b = w.mul(w.cast(c[2], u64), w.const(PHILOX_M1, u64))
        a_hi, b_hi = w.cast(w.shr(a, low), u32), w.cast(w.shr(b, low), u32)
        c = [w.xor(w.xor(b_hi, c[1]), k0), w.cast(b, u32), w.xor(w.xor(a_hi, c[3]), k1), w.cast(a, u32)]
        if r < 9:
            k0, k1 = w.add(k0, w.const(PHILOX_W0, u32)), w.add(k1, w.const(PHILOX_W1, u32))
    word = w.and_(w.cast(at, u32), w.const(3, u32))
    out = c[3]
    for k in (2, 1, 0):
        out = w.select(w.eq(word, w.const(k, u32)), c[k], out)
    return out


PULLABLE: dict[str, Callable[[Pull, Node, Point, Scalar | None], Scalar]] = {
    "constant": _constant, "iota": _iota, "reshape": _reshape, "transpose": _transpose, "broadcast": _broadcast, "slice": _slice,
    "reverse": _reverse, "pad": _pad, "concatenate": _concatenate, "gather": _gather, "index_get": _index_get, "random_bits": _random_bits,
}  # fmt: skip
