"""Routines of matrices on CPUs as a kind of group: a matrix, or some columns of a right-hand side, to a chunk."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.matrices.blocks import Matrix, span
from ingot.ir.lower.matrices.factors import LU, Cholesky
from ingot.ir.lower.matrices.reflections import Reflections
from ingot.ir.lower.matrices.rotations import Rotations
from ingot.ir.lower.matrices.routines import routine_of, takes
from ingot.ir.lower.matrices.substitution import Substitution
from ingot.ir.lower.schedule import Schedule, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type

__all__ = ["MATRICES", "Matrices"]

SMALL = 256  # rows up to which panels are narrow: what is done in a panel is worth less than what is done behind it
CHUNK = 256  # columns of a right-hand side that share the copies of a triangle


@value_type
class Matrices(Schedule):
    """`chunk` matrices at a time, in blocks of `block` columns, by vectors of `width` numbers. columns: of a right-hand side to a chunk,
    where all of them are not one; 0: all are."""

    chunk: int
    width: int
    block: int
    columns: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(chunk=self.chunk, block=self.block)


def _choose(group: Group, machine: Machine) -> Matrices:
    types = group.nodes[0].attrs[0].in_types
    n, m = assumed(types[0].shape[1]), assumed(types[-1].shape[2])
    width = 2 * machine.lanes(types[0].dtype.bits)
    flops = max(1, 2 * n * n * m // 3)
    columns = CHUNK if len(types) == 2 and m > CHUNK else 0
    chunk = 1 if columns else max(1, machine.chunk_flops // 4 // flops)
    return Matrices(chunk, width, 32 if n <= SMALL else 64, columns)


def _place(k: GroupKernel, v: Value, at: Index) -> Matrix:
    """A matrix of a result."""
    _, m, n = v.type.shape
    return Matrix(k.buffer(v, "rw"), ix.mul(at, m * n), n)


def _copy(k: GroupKernel, source: Value, at: Index, to: Matrix, columns: Index, width: int, lower: bool = False) -> None:
    """Copy some columns of a matrix, which begin at `at`; `lower`: no more than what is below the diagonal and on it."""
    w, (_, m, n) = k.w, source.type.shape
    origin = Matrix(k.buffer(source, "r"), at, n)
    with w.loop("serial", m) as i:
        some = ix.add(i, ix.const(1)) if lower else columns
        with w.loop("vector", some, width) as v:
            w.store(to.buf, to.place(i, v), w.load(origin.buf, origin.place(i, v), source.type.dtype))


def _emit(group: Group, s: Matrices, check: Callable[[Node], int]) -> list[Written]:
    node = group.nodes[0]
    name = routine_of(node.attrs[0])
    k = GroupKernel(group, "matrices", check)
    w, dtype = k.w, node.inputs[0].type.dtype
    b, m, n = node.inputs[0].type.shape

    if name == "linalg.lu":
        f, perm, sign = node.outputs

        def factor(i: Index) -> None:
            place = _place(k, f, i)
            _copy(k, node.inputs[0], place.at, place, ix.const(n), s.width)
            LU(w, dtype, s.width, s.block, m, n).run(place, k.buffer(perm, "rw"), ix.mul(i, m), k.buffer(sign, "w"), i)

        w.chunks(b, s.chunk, factor)
    elif name == "linalg.cholesky":

        def root(i: Index) -> None:
            place = _place(k, node.outputs[0], i)
            _copy(k, node.inputs[0], place.at, place, ix.const(n), s.width, True)
            Cholesky(w, dtype, s.width, s.block, n).run(place)

        w.chunks(b, s.chunk, root)
    elif name == "linalg.qr":
        q, r = node.outputs
        columns = q.type.shape[2]

        def reflect(i: Index) -> None:
            made = Reflections(w, dtype, s.width, s.block, m, n, columns)
            _copy(k, node.inputs[0], ix.mul(i, m * n), made.work, ix.const(n), s.width)
            made.run(_place(k, q, i), _place(k, r, i))

        w.chunks(b, s.chunk, reflect)
    elif name == "linalg.rotations":
        source = node.inputs[0]

        def rotate(i: Index) -> None:
            a = Matrix(k.buffer(source, "r"), ix.mul(i, m * n), n)
            Rotations(w, dtype, s.width, m, n).run(a, *(_place(k, v, i) for v in node.outputs))

        w.chunks(b, s.chunk, rotate)
    else:
        a, x = node.inputs
        columns = x.type.shape[2]
        per = s.columns or columns
        parts = ceil_div(columns, per)

        def solve(i: Index) -> None:
            matrix, part = (ix.div(i, parts, w.ranges), ix.mod(i, parts, w.ranges)) if s.columns else (i, ZERO)
            count = span(w.rest(part, per, columns)) if s.columns else ix.const(columns)
            place = _place(k, node.outputs[0], matrix).behind(ZERO, ix.mul(part, per))
            _copy(k, x, place.at, place, count, s.width)
            system = Substitution(w, dtype, s.width, s.block, n, ".upper" in name, ".unit" in name)
            system.run(Matrix(k.buffer(a, "r"), ix.mul(matrix, n * n), n), place, count)

        w.chunks(b * parts, s.chunk, solve)
    return [k.finish(s)]


MATRICES = Kind(_choose, _emit, takes)
