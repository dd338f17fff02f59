"""Schedules of attention on CPUs: rows in lanes, and how many columns go together (attention_rows.py)."""

from __future__ import annotations

import math

from ingot.ir.dtypes import f32
from ingot.ir.graph import Graph, Node
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.attention import below_diagonal, parts_of
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type

__all__ = ["AttentionRows", "choose", "takes"]

# Columns that are summed up at once, of two vectors of rows each, by the bytes of a vector register: 16 registers hold 6, and 32 more
# than 8, which are enough for sums not to wait for each other.
AT_ONCE = {16: 6, 32: 6}
AT_ONCE_WIDE = 8
TILE = 96  # columns of a tile: a multiple of all of them
RUN = 16  # tiles of a run
WIDEST = 128  # rows of operands, in elements: of wider ones a tile leaves the first cache


@value_type
class AttentionRows(Schedule):
    """Rows of a matrix in lanes.

    rows      of an item: lanes
    columns   of a tile
    at_once   columns, of the matrix and of the result, that are summed up together
    run       tiles whose sums are added up on their own, where there are many; 0: all are one run
    parallel  items go to workers
    diagonal  elements in columns behind their row are nothing: such tiles are left out
    """

    rows: int
    columns: int
    at_once: int
    run: int = 0
    parallel: bool = True
    diagonal: bool = False

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.rows)
        at_least_one(columns=self.columns, at_once=self.at_once)
        if self.run < 0 or self.columns % self.at_once:
            raise ScheduleError(f"{self}: a tile of columns that are not summed up together")
        body = group.nodes[0].attrs[0]
        if not takes(body):
            raise ScheduleError(f"{self}: more than one product of a softmax ({group})")
        if self.diagonal and not below_diagonal(body):
            raise ScheduleError(f"{self}: there is something behind the diagonal ({group})")


def takes(body: Graph) -> bool:
    """Whether there are kernels of a graph: of a softmax's product with one operand, and of nothing else."""
    parts = parts_of(body)
    return (
        parts.softmax is not None and len(parts.scores) == len(parts.products) == len(body.outputs) == 1 and not parts.folds and parts.rows
        and parts.scores[0].inputs[0].type.dtype is f32 and body.outputs[0].type.dtype is f32
        and max(_depth(parts.scores[0]), assumed(body.outputs[0].type.shape[-1])) <= WIDEST
    )  # fmt: skip


def choose(group: Group, machine: Machine) -> AttentionRows:
    """The schedule: two vectors of rows, or one of fewer."""
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    rows, columns = map(assumed, parts.extents)
    base = machine.lanes(f32.bits)
    wide = 2 * base if rows >= 2 * base else base
    items = assumed(math.prod(parts.batch)) * -(-rows // wide)
    flops = 2 * rows * columns * assumed(math.prod(parts.batch)) * sum(_depth(n) for n in (*parts.scores, *parts.products))
    return AttentionRows(
        rows=wide,
        columns=TILE,
        at_once=AT_ONCE.get(machine.vector_bytes, AT_ONCE_WIDE),
        run=run_of(ceil_div(parts.extents[1], TILE), RUN),
        parallel=flops >= machine.chunk_flops // 4 and items > 1,
        diagonal=below_diagonal(body),
    )


def _depth(n: Node) -> int:
    f = form_of(n)
    return min(assumed(math.prod(d)) for d in (f.m, f.n, f.k))
