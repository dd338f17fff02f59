"""Complex numbers and their parts."""

from __future__ import annotations

from ingot.interchange.stablehlo.emit.elementwise import both
from ingot.interchange.stablehlo.emit.writer import V, Writer, emits, empty
from ingot.ir.graph import Node

__all__: list[str] = []


@emits("complex")
def _complex(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("complex", *both(w, xs), dtype=n.outputs[0].type.dtype)


@emits("real", "imag")
def _part(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op(n.op.name, *xs, dtype=n.outputs[0].type.dtype)


@emits("conj")
def _conj(w: Writer, n: Node, xs: list[V]) -> V:
    part = n.outputs[0].type.dtype.to_real()
    real, imag = (w.op(name, *xs, dtype=part) for name in ("real", "imag"))
    return w.op("complex", real, w.op("negate", imag), dtype=xs[0].dtype)


@emits("magnitude")
def _magnitude(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("abs", *xs, dtype=n.outputs[0].type.dtype)


@emits("view_as_real")
def _as_real(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    part = n.outputs[0].type.dtype
    parts = [w.reshape(w.op(name, x, dtype=part), (*x.shape, 1)) for name in ("real", "imag")]
    return w.concatenate(parts, x.rank)


@emits("view_as_complex")
def _as_complex(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    lead = x.shape[:-1]
    parts = [w.reshape(w.slice(x, (*(0,) * len(lead), k), (*lead, k + 1)), lead) for k in (0, 1)]
    return w.op("complex", *parts, dtype=n.outputs[0].type.dtype)


@emits("fft")
def _fft(w: Writer, n: Node, xs: list[V]) -> V:
    """Along the last dim. Neither way is scaled."""
    (x,) = xs
    axis, inverse = n.attrs
    size = x.shape[axis]
    if empty(x.shape):
        return x
    perm = list(range(x.rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    kind = "IFFT" if inverse else "FFT"
    out = w.op("fft", w.transpose(x, perm), attrs=f"fft_type = #stablehlo<fft_type {kind}>, fft_length = array<i64: {size}>")
    return w.transpose(w.op("multiply", out, w.like(size, out)) if inverse else out, perm)
