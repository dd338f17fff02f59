"""Between complex numbers and pairs of reals: parts, conjugates, magnitudes. What other ops do with complex values: parts.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex, by_numpy, f32, f64
from ingot.ir.facts import ByParts, Foldable, OverComplex
from ingot.ir.op import OPS, Op, register
from ingot.ir.ops.batching import elementwise_batch
from ingot.ir.ops.family import broadcast_named, linear_jvp, need_dtype, need_same, quiet
from ingot.ir.ops.samples import Case, Combinations, Domain, case, floats
from ingot.ir.size import ShapeError
from ingot.ir.types import TensorType

__all__ = ["complex_", "real", "imag", "conj", "magnitude", "view_as_real", "view_as_complex"]

Exprs = Sequence[Expr]
_PARTS = frozenset((f32, f64))


def _op(name: str, doc: str, infer: Callable, ref: Callable, vjp: Callable, jvp: Callable | None = None, *, batch: Callable | None = None,
        samples: Any = None) -> Op:  # fmt: skip
    """Declare an op with a complex input or output, linear over the reals unless a `jvp` says otherwise."""
    domain = floats(-5, 5, gap=0.1)
    return register(
        Op(
            name, doc, (), lambda types: (infer(types),), quiet(ref), vjp=vjp, jvp=jvp or linear_jvp(name),
            batch=batch or elementwise_batch(name), lowering=ByParts(), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
            samples=samples or Combinations(tuple((d,) for d in sorted(Complex, key=str, reverse=True)), (domain,)),
        )
    )  # fmt: skip


def _part(name: str, types: tuple[TensorType, ...]) -> TensorType:
    (z,) = types
    need_dtype(name, z, Complex)
    return z.with_dtype(z.dtype.to_real())


def _same(name: str, types: tuple[TensorType, ...]) -> TensorType:
    (z,) = types
    need_dtype(name, z, Complex)
    return z


def _complex_infer(types: tuple[TensorType, ...]) -> TensorType:
    if len(types) != 2:
        raise TypeError(f"complex: takes 2 inputs, got {len(types)}")
    d = need_same("complex", types)
    need_dtype("complex", types[0], _PARTS)
    return TensorType(d.to_complex(), broadcast_named("complex", types))


def combined(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    """The complex array of two real ones."""
    re, im = np.broadcast_arrays(re, im)
    out = np.empty(re.shape, by_numpy(re.dtype).to_complex().numpy)
    out.real, out.imag = re, im
    return out


def _zero(x: Expr) -> Expr:
    return x.full(0.0)


complex_ = _op(
    "complex", "re + im i; both f32 or both f64, broadcast together.", _complex_infer, combined,
    vjp=lambda cts, ins, outs: [OPS["real"](cts[0]).sum_to(ins[0].shape), OPS["imag"](cts[0]).sum_to(ins[1].shape)],
    samples=Combinations(((f32, f32), (f64, f64)), (Domain(), Domain())),
)  # fmt: skip
real = _op(
    "real", "The real part.", lambda types: _part("real", types), lambda z: z.real.copy(),
    vjp=lambda cts, ins, outs: [OPS["complex"](cts[0], _zero(cts[0]))],
)  # fmt: skip
imag = _op(
    "imag", "The imaginary part.", lambda types: _part("imag", types), lambda z: z.imag.copy(),
    vjp=lambda cts, ins, outs: [OPS["complex"](_zero(cts[0]), cts[0])],
)  # fmt: skip
conj = _op(
    "conj", "re - im i.", lambda types: _same("conj", types), np.conj, vjp=lambda cts, ins, outs: [OPS["conj"](cts[0])],
)  # fmt: skip


def _direction(z: Expr, size: Expr) -> tuple[Expr, Expr]:
    """The parts of z / |z|, 0 at 0."""
    zero = size.eq(0.0)
    safe = OPS["select"](zero, 1.0, size)
    return tuple(OPS["select"](zero, 0.0, OPS[part](z) / safe) for part in ("real", "imag"))  # type: ignore[return-value]


def _magnitude_vjp(cts: Exprs, ins: Exprs, outs: Exprs) -> list[Expr]:
    re, im = _direction(ins[0], outs[0])
    return [OPS["complex"](cts[0] * re, cts[0] * im)]


def _magnitude_jvp(tangents: Exprs, ins: Exprs, outs: Exprs) -> list[Expr]:
    re, im = _direction(ins[0], outs[0])
    return [OPS["real"](tangents[0]) * re + OPS["imag"](tangents[0]) * im]


magnitude = _op(
    "magnitude", "sqrt(re**2 + im**2), without overflow on the way; the derivative at 0 is 0.",
    lambda types: _part("magnitude", types), np.abs, _magnitude_vjp, _magnitude_jvp,
)  # fmt: skip


# -- the parts as one more dim ---------------------------------------------------------------------------------------


def _as_complex_infer(types: tuple[TensorType, ...]) -> TensorType:
    (x,) = types
    need_dtype("view_as_complex", x, _PARTS)
    if not x.rank or x.shape[-1] != 2:
        raise ShapeError(f"view_as_complex: the last dim must have extent 2, got {x}")
    return TensorType(x.dtype.to_complex(), x.shape[:-1])


def _as_real_infer(types: tuple[TensorType, ...]) -> TensorType:
    part = _part("view_as_real", types)
    return part.with_shape((*part.shape, 2))


def _batch(name: str) -> Callable:
    return lambda ins, batched: ([OPS[name](ins[0])], [True])


def _shapes(*dtypes: str, last: tuple[int, ...] = ()) -> Callable[[], list[Case]]:
    return lambda: [case((d, (*s, *last))) for d in dtypes for s in ((3, 4), (), (0, 2), (1, 5))]


view_as_real = _op(
    "view_as_real", "The real and the imaginary part as the two elements of one more, last dim.", _as_real_infer,
    lambda z: np.stack((z.real, z.imag), -1), batch=_batch("view_as_real"), samples=_shapes("c64", "c128"),
    vjp=lambda cts, ins, outs: [OPS["view_as_complex"](cts[0])],
)  # fmt: skip
view_as_complex = _op(
    "view_as_complex", "The complex numbers whose parts are the two elements of the last dim.", _as_complex_infer,
    lambda x: combined(x[..., 0], x[..., 1]), batch=_batch("view_as_complex"), samples=_shapes("f32", "f64", last=(2,)),
    vjp=lambda cts, ins, outs: [OPS["view_as_real"](cts[0])],
)  # fmt: skip
