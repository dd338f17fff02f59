"""The discrete Fourier transform of complex numbers, along one dim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex
from ingot.ir.facts import ByParts, Foldable, OverComplex
from ingot.ir.op import OPS
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.family import declare, linear_jvp, need_axis, need_dtype
from ingot.ir.ops.samples import Case, case
from ingot.ir.size import ShapeError
from ingot.ir.types import TensorType

__all__ = ["fft"]

Exprs = Sequence[Expr]


def _infer(types: tuple[TensorType, ...], axis: int, inverse: bool) -> TensorType:
    (x,) = types
    need_dtype("fft", x, Complex)
    need_axis("fft", axis, x.rank)
    if not isinstance(x.shape[axis], int) or x.shape[axis] < 1:
        raise ShapeError(f"fft: needs at least one element along axis {axis}, and their number known, got {x}")
    return x


def _ref(x: np.ndarray, axis: int, inverse: bool) -> np.ndarray:
    wide = x.astype(np.complex128)
    found = np.fft.ifft(wide, axis=axis) * x.shape[axis] if inverse else np.fft.fft(wide, axis=axis)
    return found.astype(x.dtype)


def _samples() -> list[Case]:
    lengths = (1, 2, 3, 4, 5, 7, 8, 12, 16, 30, 64, 97, 134, 256)  # of small and large primes, and of many factors
    out = [case((d, (3, n)), axis=1, inverse=i) for n in lengths for d, i in (("c64", False), ("c128", True))]
    out += [case((d, (2, n, m)), axis=1, inverse=i) for n, m, d, i in ((6, 3, "c64", False), (30, 11, "c128", True), (97, 2, "c64", True))]
    return out + [case(("c64", s), axis=len(s) - 1, inverse=False) for s in ((6,), (0, 4), (2, 1, 3), (1, 1), (40, 16))]


fft = declare(
    "fft", attrs=("axis", "inverse"), infer=_infer, ref=_ref, samples=_samples,
    doc="y[k] = sum of x[j] exp(-2 pi i j k / n) along `axis`; `inverse`: with + in place of -. Neither is scaled.",
    vjp=lambda cts, ins, outs, axis, inverse: [OPS["fft"](cts[0], axis=axis, inverse=not inverse)], jvp=linear_jvp("fft"),
    batch=axis_batch("fft"),
    lowering=ByParts(), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
    source="Cooley and Tukey, An algorithm for the machine calculation of complex Fourier series (1965); Bluestein (1970)",
)  # fmt: skip
