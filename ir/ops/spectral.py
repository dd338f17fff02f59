"""The discrete Fourier transform of complex numbers, along the last dim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex
from ingot.ir.facts import ByParts, Foldable, OverComplex
from ingot.ir.op import OPS
from ingot.ir.ops.family import declare, linear_jvp, need_dtype
from ingot.ir.ops.samples import Case, case
from ingot.ir.size import ShapeError
from ingot.ir.types import TensorType

__all__ = ["fft"]

Exprs = Sequence[Expr]


def _infer(types: tuple[TensorType, ...], inverse: bool) -> TensorType:
    (x,) = types
    need_dtype("fft", x, Complex)
    if not x.rank or not isinstance(x.shape[-1], int) or x.shape[-1] < 1:
        raise ShapeError(f"fft: needs a last dim of at least one element, whose number is known, got {x}")
    return x


def _ref(x: np.ndarray, inverse: bool) -> np.ndarray:
    wide = x.astype(np.complex128)
    found = np.fft.ifft(wide) * x.shape[-1] if inverse else np.fft.fft(wide)
    return found.astype(x.dtype)


def _samples() -> list[Case]:
    lengths = (1, 2, 3, 4, 5, 7, 8, 12, 16, 30, 64, 97, 134, 256)  # of small and large primes, and of many factors
    out = [case((d, (3, n)), inverse=i) for n in lengths for d, i in (("c64", False), ("c128", True))]
    return out + [case(("c64", s), inverse=False) for s in ((6,), (0, 4), (2, 1, 3), (1, 1))]


fft = declare(
    "fft", attrs=("inverse",), infer=_infer, ref=_ref, samples=_samples,
    doc="y[k] = sum of x[j] exp(-2 pi i j k / n) along the last dim; `inverse`: with + in place of -. Neither is scaled.",
    vjp=lambda cts, ins, outs, inverse: [OPS["fft"](cts[0], inverse=not inverse)], jvp=linear_jvp("fft"),
    batch=lambda ins, batched, inverse: ([OPS["fft"](ins[0], inverse=inverse)], [True]),
    lowering=ByParts(), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
    source="Cooley and Tukey, An algorithm for the machine calculation of complex Fourier series (1965); Bluestein (1970)",
)  # fmt: skip
