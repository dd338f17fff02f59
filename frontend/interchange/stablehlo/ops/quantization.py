"""Numbers kept as integers with a scale. Operations calculate with the numbers that are meant, and round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast
from ingot.interchange.stablehlo.module import DTYPES, Operation, Type, Value, is_quantized
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir.dtypes import by_numpy
from ingot.ir.struct import struct

__all__ = ["quantized"]

_FORM = re.compile(r"!quant\.uniform<(\w+)(?:<(-?\d+):(-?\d+)>)?:(\w+)(?::(\d+))?,\s*(?:\{([^}]*)\}|([^,{}>]+))>")
_PART = re.compile(r"\s*([-+\d.eE]+)(?::(-?\d+))?\s*")


@struct
class _Scheme:
    """storage, expressed: element types; axis: along which scales differ, or None."""

    storage: str
    low: int
    high: int
    expressed: str
    axis: int | None
    scales: np.ndarray
    zeros: np.ndarray


def _scheme(t: Type) -> _Scheme:
    m = _FORM.fullmatch(t.element)
    if m is None or m[1] not in DTYPES or m[4] not in DTYPES:
        raise TypeError(f"quantized numbers of the kind {t.element}")
    parts = [_PART.fullmatch(p) for p in (m[6] or m[7]).split(",")]
    if any(p is None for p in parts):
        raise TypeError(f"quantized numbers of the kind {t.element}")
    bits = int(m[1].lstrip("iu"))
    signed = m[1][0] == "i"
    low = int(m[2]) if m[2] else -(1 << (bits - 1)) if signed else 0
    high = int(m[3]) if m[3] else (1 << (bits - signed)) - 1
    scales = np.array([float(p[1]) for p in parts])  # type: ignore[index]
    zeros = np.array([int(p[2] or 0) for p in parts])  # type: ignore[index]
    return _Scheme(m[1], low, high, m[4], int(m[5]) if m[5] else None, scales, zeros)


def _spread(c: Any, values: np.ndarray, s: _Scheme, rank: int, dtype: Any) -> Tensor:
    shape = () if s.axis is None else tuple(len(values) if i == s.axis else 1 for i in range(rank))
    return c.tensor(values.astype(dtype.numpy).reshape(shape))


def _meant(run: Any, x: Tensor, t: Type) -> Tensor:
    """The numbers that integers stand for."""
    s = _scheme(t)
    to = by_numpy(DTYPES[s.expressed])
    return apply("mul", apply("sub", cast(x, to), _spread(run, s.zeros, s, x.ndim, to)), _spread(run, s.scales, s, x.ndim, to))


def _kept(run: Any, x: Tensor, t: Type) -> Tensor:
    """The integers that stand for numbers: rounded to the nearest, ties to even, as far as they reach."""
    s = _scheme(t)
    whole = apply("round", apply("div", x, _spread(run, s.scales, s, x.ndim, x.dtype)))
    whole = apply("add", whole, _spread(run, s.zeros, s, x.ndim, x.dtype))
    ends = [run.tensor(np.array(v, x.dtype.numpy)) for v in (s.low, s.high)]
    return cast(apply("minimum", apply("maximum", whole, ends[0]), ends[1]), by_numpy(DTYPES[s.storage]))


def quantized(run: Any, o: Operation, inputs: Sequence[Any]) -> list[Any]:
    """An operation some of whose types are quantized, on the numbers that are meant."""
    if o.regions:
        raise NotImplementedError("regions on quantized numbers")

    def plain(v: Value) -> Value:
        t = v.type
        return Value(Type("tensor", _scheme(t).expressed, t.shape)) if is_quantized(t) else v

    given = [_meant(run, x, v.type) if is_quantized(v.type) else x for x, v in zip(inputs, o.inputs)]
    name = "reshape" if o.name in ("uniform_quantize", "uniform_dequantize") else o.name
    shadow = Operation(name, tuple(map(plain, o.inputs)), tuple(map(plain, o.outputs)), o.attrs, (), o.place)
    results = run.ruled(shadow, given)
    return [_kept(run, run.tensor(r, s.type), v.type) if is_quantized(v.type) else r for r, v, s in zip(results, o.outputs, shadow.outputs)]


@op("uniform_quantize", "uniform_dequantize")
def uniform(c: Call, operand: Tensor) -> Tensor:
    raise TypeError("neither side of it is quantized")
