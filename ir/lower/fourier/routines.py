"""The graphs that stand for Fourier transforms, by their names."""

from __future__ import annotations

from ingot.ir.dtypes import f32, f64
from ingot.ir.graph import Graph
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fourier.plan import LONG, LONGEST, SHORT, radices
from ingot.ir.machine import Machine
from ingot.ir.types import Dim, TensorType

__all__ = ["Routine", "is_transform", "routine_of", "side_by_side", "takes"]

# name -> the sign of its exponents, and whether it takes or gives real numbers
_ROUTINES = {
    "fourier.forward": (-1, False),  # (b, n) -> the same; or (b, n, m) along n, columns side by side
    "fourier.inverse": (1, False),
    "fourier.real": (-1, True),  # (b, 2 n) real -> (b, n + 1), the first halves of transforms
    "fourier.halves": (1, True),  # and back
    "fourier.whole": (-1, True),  # (b, 2 n) real -> (b, 2 n)
}


class Routine:
    """What a graph stands for. sign: of the exponent; rows, n: transforms of complex numbers, and of how many each; columns: side by side
    (None: rows are one behind the other); real: it takes (sign < 0) or gives rows of 2 n real numbers; whole: with their second halves."""

    __slots__ = ("sign", "rows", "n", "columns", "real", "whole")

    def __init__(self, sign: int, rows: Dim, n: int, columns: Dim | None, real: bool, whole: bool):
        self.sign, self.rows, self.n, self.columns, self.real, self.whole = sign, rows, n, columns, real, whole


def _numbers(t: TensorType) -> tuple[Dim, ...]:
    """The shape of complex numbers, which may be pairs of real ones already."""
    return t.shape if t.dtype.kind == "c" else t.shape[:-1]


def routine_of(graph: Graph) -> Routine | None:
    """What a graph stands for; None where it has the name of no transform, or takes or gives something else. In texts the second of a
    name has `_2` behind it."""
    name = graph.name.partition("_")[0]
    sign, real = _ROUTINES.get(name, (0, False))
    if not sign or len(graph.in_types) != 1 or len(graph.out_types) != 1:
        return None
    (x,), (y,) = graph.in_types, graph.out_types
    many, few = (y, x) if real and sign < 0 else (x, y)
    if many.dtype.kind != "c" and many.shape[-1:] != (2,):
        return None
    shape = _numbers(many)
    if len(shape) not in (2, 3) or not isinstance(shape[1], int):
        return None
    if not real:
        return Routine(sign, shape[0], shape[1], shape[2] if len(shape) == 3 else None, False, False) if x == y else None
    whole = name == "fourier.whole"
    n = shape[1] // 2 if whole else shape[1] - 1
    return Routine(sign, shape[0], n, None, True, whole) if len(shape) == 2 and few.shape == (shape[0], 2 * n) else None


def is_transform(graph: Graph) -> bool:
    """Whether a graph stands for a transform."""
    return routine_of(graph) is not None


def side_by_side(n: int, rows: Dim, width: int) -> bool:
    """Whether rows of n numbers are transformed as many at a time as there are lanes, turned."""
    return n <= SHORT or n <= LONG and assumed(rows) >= 2 * width


def takes(graph: Graph, machine: Machine) -> bool:
    """Whether there is a kernel of a graph: of a length of small factors."""
    r = routine_of(graph)
    if r is None or graph.in_types[0].dtype.to_real() not in (f32, f64) or r.rows == 0 or r.columns == 0:
        return False
    if not 2 <= r.n <= LONGEST or radices(r.n) is None:
        return False
    if r.columns is not None:
        return r.n <= LONG
    return not r.real or side_by_side(r.n, r.rows, machine.lanes(graph.in_types[0].dtype.to_real().bits))
