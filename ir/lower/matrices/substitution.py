"""Systems of triangular matrices: a block of rows is solved for, and what it makes is taken off the others."""

from __future__ import annotations

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.matrices.blocks import Extent, Matrix, Products, span, turned
from ingot.ir.lower.writer import KernelWriter
from ingot.ir.size import ceil_div
from ingot.ir.types import Dim

__all__ = ["Substitution"]


class Substitution:
    """Solves for some columns of (n, m) in place: a (n, n), of which one triangle is read; `unit`: not its diagonal either."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, block: int, n: Dim, upper: bool, unit: bool):
        self.w, self.dtype, self.block, self.n, self.upper, self.unit = w, dtype, block, n, upper, unit
        self.corner = Matrix(w.scratch(dtype, block * block, "worker"), ZERO, block)
        self.products = Products(w, dtype, width, n, block)

    def run(self, a: Matrix, x: Matrix, columns: Extent) -> None:
        """Solve for the columns of x."""
        w, n, blocks = self.w, self.n, ceil_div(self.n, self.block)
        with w.loop("serial", blocks) as step:
            at = ix.sub(ix.const(blocks - 1), step) if self.upper else step
            k0 = ix.mul(at, self.block)
            count = span(w.rest(at, self.block, n))
            k1 = ix.add(k0, count)
            turned(w, self.dtype, self.corner, a.behind(k0, k0), count, count)
            rest = ZERO if self.upper else k1
            rows: Index = k0 if self.upper else ix.sub(ix.const(n), k1)
            solve = self.products.solver(self.corner.T, count, self.unit, self.upper)
            self.products.take_off(x.behind(rest, ZERO), rows, columns, a.behind(rest, k0), x.behind(k0, ZERO), count, solve)
