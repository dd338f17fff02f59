"""The logarithm of the gamma function and its derivative, which ONNX has no ops for: written out, in float64."""

from __future__ import annotations

import math

from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Node

__all__: list[str] = []

# Lanczos, g = 7, nine terms: Numerical Recipes, 3rd edition, 6.1
_LANCZOS = (
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905, -0.13857109526572012,
    9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip
# B(2k) / 2k of the asymptotic series, NIST 5.11.2
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_UP = 10  # steps up to where the series holds


class _Doubles:
    """Arithmetic on float64 in a writer."""

    def __init__(self, w: Writer):
        self.w = w

    def of(self, x: str | float) -> str:
        return x if isinstance(x, str) else self.w.constant(x, dtypes.f64)

    def __call__(self, op: str, *xs: str | float) -> str:
        return self.w.node(op, *map(self.of, xs))


def _real(w: Writer, n: Node, x: str) -> str:
    return x if n.inputs[0].type.dtype is dtypes.f64 else w.cast(x, dtypes.f64)


def _back(w: Writer, n: Node, y: str) -> str:
    return y if n.inputs[0].type.dtype is dtypes.f64 else w.cast(y, n.inputs[0].type.dtype)


@emits("lgamma")
def _lgamma(w: Writer, n: Node, xs: list[str]) -> str:
    """Below 1/2 by reflection, with the sine of what is left of a whole number."""
    d, x = _Doubles(w), _real(w, n, xs[0])
    low = d("Less", x, 0.5)
    z = d("Sub", d("Where", low, d("Sub", 1.0, x), x), 1.0)
    total: str | float = 0.99999999999980993
    for k, c in enumerate(_LANCZOS, 1):
        total = d("Add", total, d("Div", c, d("Add", z, float(k))))
    t = d("Add", z, 7.5)
    y = d("Sub", d("Mul", d("Add", z, 0.5), d("Log", t)), t)
    y = d("Add", d("Add", y, 0.5 * math.log(2 * math.pi)), d("Log", total))
    size = d("Abs", x)
    sine = d("Abs", d("Sin", d("Mul", d("Sub", size, d("Floor", size)), math.pi)))
    pole = d("Or", d("Equal", size, math.inf), d("And", low, d("Equal", sine, 0.0)))
    y = d("Where", low, d("Sub", d("Sub", math.log(math.pi), d("Log", sine)), y), y)
    return _back(w, n, d("Where", pole, math.inf, y))


@emits("digamma")
def _digamma(w: Writer, n: Node, xs: list[str]) -> str:
    """Below 1/2 by reflection, NaN at whole numbers below 0; upwards to where the asymptotic series holds."""
    d, x = _Doubles(w), _real(w, n, xs[0])
    low = d("Less", x, 0.5)
    z = d("Where", low, d("Sub", 1.0, x), x)
    less: str = d("Reciprocal", z)
    for k in range(1, _UP):
        less = d("Add", less, d("Reciprocal", d("Add", z, float(k))))
    z = d("Add", z, float(_UP))
    square = d("Reciprocal", d("Mul", z, z))
    series: str = d.of(_DIGAMMA[-1])
    for c in _DIGAMMA[-2::-1]:
        series = d("Add", c, d("Mul", series, square))
    y = d("Sub", d("Log", z), d("Div", 0.5, z))
    y = d("Sub", d("Sub", y, d("Mul", series, square)), less)
    rest = d("Mul", d("Sub", x, d("Round", x)), math.pi)
    rest = d("Where", d("Equal", x, 0.0), x, rest)  # keeps the sign of 0
    cosine = d("Sin", d("Sub", 0.5 * math.pi, d("Abs", rest)))
    reflected = d("Sub", y, d("Div", math.pi, d("Div", d("Sin", rest), cosine)))
    whole = d("And", d("Equal", rest, 0.0), d("Less", x, 0.0))
    return _back(w, n, d("Where", low, d("Where", whole, math.nan, reflected), y))
