"""The graphs that stand for routines of matrices, by their names."""

from __future__ import annotations

from ingot.ir.dtypes import f32, f64, i64
from ingot.ir.graph import Graph
from ingot.ir.machine import Machine
from ingot.ir.size import at_most, equal
from ingot.ir.types import Dim, TensorType

__all__ = ["ROUTINES", "routine_of", "is_routine", "takes"]


def _square(t: TensorType) -> bool:
    return t.rank == 3 and bool(equal(t.shape[1], t.shape[2]))


def _same(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> bool:
    return len(a) == len(b) and all(bool(equal(x, y)) for x, y in zip(a, b))


def _lu(ins: tuple[TensorType, ...], outs: tuple[TensorType, ...]) -> bool:
    """(b, m, n) -> factors (b, m, n), permutation (b, m), sign (b)."""
    if len(ins) != 1 or len(outs) != 3 or ins[0].rank != 3 or outs[1].dtype is not i64 or outs[2].dtype is not ins[0].dtype:
        return False
    b, m, _ = ins[0].shape
    return outs[0] == ins[0] and _same(outs[1].shape, (b, m)) and _same(outs[2].shape, (b,))


def _cholesky(ins: tuple[TensorType, ...], outs: tuple[TensorType, ...]) -> bool:
    """(b, n, n) -> the same."""
    return len(ins) == len(outs) == 1 and outs[0] == ins[0] and _square(ins[0])


def _triangular(ins: tuple[TensorType, ...], outs: tuple[TensorType, ...]) -> bool:
    """(b, n, n), (b, n, m) -> (b, n, m)."""
    if len(ins) != 2 or len(outs) != 1 or outs[0] != ins[1] or not _square(ins[0]) or ins[1].rank != 3:
        return False
    return ins[0].dtype is ins[1].dtype and _same(ins[0].shape[:2], ins[1].shape[:2])


def _qr(ins: tuple[TensorType, ...], outs: tuple[TensorType, ...]) -> bool:
    """(b, m, n) -> Q (b, m, columns), R (b, columns, n)."""
    if len(ins) != 1 or len(outs) != 2 or any(t.rank != 3 or t.dtype is not ins[0].dtype for t in (*ins, *outs)):
        return False
    (b, m, n), columns = ins[0].shape, outs[0].shape[2]
    return _same(outs[0].shape, (b, m, columns)) and _same(outs[1].shape, (b, columns, n)) and bool(at_most(columns, m))


def _rotations(ins: tuple[TensorType, ...], outs: tuple[TensorType, ...]) -> bool:
    """(b, m, n) -> A V of the same type, V (b, n, n)."""
    if len(ins) != 1 or len(outs) != 2 or ins[0].rank != 3 or outs[0] != ins[0] or outs[1].dtype is not ins[0].dtype:
        return False
    b, _, n = ins[0].shape
    return _same(outs[1].shape, (b, n, n))


ROUTINES = {
    "linalg.lu": _lu,
    "linalg.cholesky": _cholesky,
    "linalg.qr": _qr,
    "linalg.rotations": _rotations,
    "linalg.triangular.lower": _triangular,
    "linalg.triangular.lower.unit": _triangular,
    "linalg.triangular.upper": _triangular,
    "linalg.triangular.upper.unit": _triangular,
}


def routine_of(graph: Graph) -> str:
    """The routine that a graph has the name of. In texts the second one of a name has `_2` behind it."""
    return graph.name.partition("_")[0]


def is_routine(graph: Graph) -> bool:
    """Whether a graph has the name of a routine, and takes and gives what that does."""
    fits = ROUTINES.get(routine_of(graph))
    return fits is not None and fits(graph.in_types, graph.out_types)


def takes(graph: Graph, machine: Machine) -> bool:
    """Whether there is a kernel of a graph: of a routine, of real numbers. Where nothing is to be done its graph is as good."""
    if not is_routine(graph) or graph.in_types[0].dtype not in (f32, f64):
        return False
    return not any(isinstance(d, int) and d == 0 for t in graph.in_types for d in t.shape)
