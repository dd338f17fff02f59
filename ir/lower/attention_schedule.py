"""Schedules of attention on CPUs: rows in lanes, and how many columns go together (attention_rows.py, attention_panels.py)."""

from __future__ import annotations

import math

from ingot.ir.dtypes import Half, f32
from ingot.ir.graph import Graph, Node
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.attention import Parts, below_diagonal, parts_of
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type

__all__ = ["AttentionPanels", "AttentionRows", "choose", "takes"]

# Columns that are summed up at once, of two vectors of rows each, by the bytes of a vector register: 16 registers hold 6, and 32 more
# than 8, which are enough for sums not to wait for each other.
AT_ONCE = {16: 6, 32: 6}
AT_ONCE_WIDE = 8
TILE = 96  # columns of a tile: a multiple of all of them
RUN = 16  # tiles of a run
LEAST = 8  # blocks of a chunk
SIDE = 8  # of squares that are transposed in registers
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

    @property
    def lanes(self) -> int:
        """Of a vector."""
        return self.rows

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.rows)
        _verify_columns(self, group)
        if not _is_forward(group.nodes[0].attrs[0]):
            raise ScheduleError(f"{self}: more than one product of a softmax ({group})")


@value_type
class AttentionPanels(Schedule):
    """Blocks of rows, a row to a lane, with all their columns in panels.

    rows            of a block
    lanes           of a vector of rows, and of a result's columns
    columns         of a tile
    at_once         columns, of the matrix and of results, that are summed up together
    chunks          of rows, one after the other, that one worker does
    run             tiles whose sums are added up on their own, where there are many; 0: all are one run
    run_of_blocks   likewise the blocks of a chunk, for what is a sum of rows
    parallel        items go to workers
    diagonal        elements in columns behind their row are nothing: such tiles are left out
    """

    rows: int
    lanes: int
    columns: int
    at_once: int
    chunks: int = 1
    run: int = 0
    run_of_blocks: int = 0
    parallel: bool = True
    diagonal: bool = False

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.lanes)
        at_least_one(rows=self.rows, chunks=self.chunks)
        _verify_columns(self, group)
        if self.rows % self.lanes or self.run_of_blocks < 0:
            raise ScheduleError(f"{self}: blocks that are not whole vectors")
        if not _has_panels(group.nodes[0].attrs[0]):
            raise ScheduleError(f"{self}: something else than products is wanted ({group})")


def _verify_columns(s: AttentionRows | AttentionPanels, group: Group) -> None:
    at_least_one(columns=s.columns, at_once=s.at_once)
    if s.run < 0 or s.columns % s.at_once or s.columns % SIDE:
        raise ScheduleError(f"{s}: a tile of columns that are not summed up together")
    if s.diagonal and not below_diagonal(group.nodes[0].attrs[0]):
        raise ScheduleError(f"{s}: there is something behind the diagonal ({group})")


def takes(body: Graph, machine: Machine) -> bool:
    """Whether there are kernels of a graph. Where the machine sums products of halves in one instruction, tiles of the products
    themselves are faster."""
    parts = parts_of(body)
    dtypes = {v.type.dtype for n in (*parts.scores, *parts.products) for v in n.inputs}
    if machine.dot_halves and not dtypes <= {f32}:
        return False
    return _is_forward(body) or _has_panels(body)


def _is_forward(body: Graph) -> bool:
    """Whether a graph is a softmax's product with one operand, and statistics of it at most."""
    parts = parts_of(body)
    soft = parts.softmax
    if soft is None or len(parts.scores) != 1 or len(parts.products) != 1 or parts.folds or not parts.rows:
        return False
    return parts.products[0].outputs[0] in body.outputs and _narrow(parts)


def _has_panels(body: Graph) -> bool:
    """Whether products are all that a graph gives, of which folds of rows may be the way."""
    parts = parts_of(body)
    return len(parts.products) == len(body.outputs) and bool(parts.scores) and _narrow(parts)


def _narrow(parts: Parts) -> bool:
    """Whether tiles of operands stay in the first cache."""
    products = (*parts.scores, *parts.products)
    floats = all(v.type.dtype is f32 or v.type.dtype in Half for n in products for v in (*n.inputs, *n.outputs))
    return floats and max(map(_depth, products)) <= WIDEST


def choose(group: Group, machine: Machine) -> AttentionRows | AttentionPanels:
    """The schedule: two vectors of rows, or one of fewer."""
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    rows, batch = assumed(parts.extents[0]), assumed(math.prod(parts.batch))
    base = machine.lanes(f32.bits)
    wide = 2 * base if rows >= 2 * base else base
    blocks = -(-rows // wide)
    flops = 2 * rows * assumed(parts.extents[1]) * batch * sum(_depth(n) for n in (*parts.scores, *parts.products))
    at_once, run = AT_ONCE.get(machine.vector_bytes, AT_ONCE_WIDE), run_of(ceil_div(parts.extents[1], TILE), RUN)
    enough, diagonal = flops >= machine.chunk_flops // 4, below_diagonal(body)
    if _is_forward(body):
        return AttentionRows(wide, TILE, at_once, run, enough and batch * blocks > 1, diagonal)
    panels = 2 * f32.itemsize * assumed(parts.extents[1])  # of a row
    taken = 2 * wide if blocks >= 4 * LEAST and 2 * wide * panels <= machine.cache_bytes[1] else wide
    chunks = max(1, min(-(-machine.workers // batch), rows // (LEAST * taken)))
    per = ceil_div(ceil_div(parts.extents[0], taken), chunks)
    return AttentionPanels(taken, wide, TILE, at_once, chunks, run, run_of(per), enough and batch * chunks > 1, diagonal)


def _depth(n: Node) -> int:
    """Steps of a score's sum, or columns of a result: the matrix has many of both."""
    f = form_of(n)
    return min(assumed(math.prod(d)) for d in (f.m, f.n, f.k))
