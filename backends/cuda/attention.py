"""Attention: products of products, with the matrix between them in tiles that never leave the chip (ir/lower/attention.py).

A block keeps some rows of the matrix (or columns, where products sum over rows) and passes over the others a tile at a time. The elements
of a tile are products of operands in shared memory; what follows from them is calculated where the threads hold them, and goes on into
the next product from there. With a softmax the maximum of a row and the sum of its exponentials run along: where the maximum grows, what
was summed up so far is scaled. Rows fall to blocks and tiles follow each other in a fixed order, so the bits are the same on every run.
Where elements above the diagonal are nothing, tiles that lie there are left out.
"""

from __future__ import annotations

import math

from ingot.backends.cuda.attention_operands import AttentionOperands, one, other_dims
from ingot.backends.cuda.block_kernel import verify_threads
from ingot.backends.cuda.matrix_tiles import MatrixTiles
from ingot.backends.cuda.single_tiles import SingleTiles
from ingot.backends.cuda.word_tiles import WordTiles
from ingot.ir.dtypes import Half
from ingot.ir.graph import Graph
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.attention import below_diagonal, parts_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.ops.form import form_of
from ingot.ir.struct import replace, value_type

__all__ = ["Attention", "choose", "tiles_of"]

SHARE, SHARE_COPIED = 3, 2  # blocks that should find room on a multiprocessor; where copies are ahead of them
MOST, MOST_WIDE = 80, 144  # elements and sums that a thread has registers for; where heads are wide, and fewer threads have more

# (rows that a block keeps, those of a step), threads of a block; the best first
TILES_WORDS = (((64, 64), 128), ((64, 32), 128), ((64, 16), 128), ((32, 64), 64), ((32, 32), 64), ((32, 16), 64), ((16, 16), 32))
TILES = (((64, 32), 128), ((32, 32), 128), ((32, 16), 64), ((16, 32), 64), ((16, 16), 32), ((8, 16), 32))


@value_type
class Attention(Schedule):
    """A matrix in tiles.

    tile      rows that a block keeps (or columns, where products sum over rows), and those of a step
    threads   of a block
    diagonal  elements above the diagonal are nothing: tiles there are left out
    turned    what comes by is copied a tile ahead, past the registers: of each operand, those that make elements first, whether it lies
              across; (): it passes registers
    first     the number of the first operand that is the same memory as each of them
    """

    tile: tuple[int, int]
    threads: int
    diagonal: bool = False
    turned: tuple[bool, ...] = ()
    first: tuple[int, ...] = ()

    def verify(self, group: Group) -> None:
        verify_threads(kept=self.tile[0], step=self.tile[1], threads=self.threads)
        body = group.nodes[0].attrs[0]
        if not tiles_of(group, self).fits:
            raise ScheduleError(f"{self}: threads do not share the tile out evenly ({group})")
        if (self.turned or self.first) and (self.turned, self.first) != _copied(group):
            raise ScheduleError(f"{self}: operands that do not lie so in memory are copied ({group})")
        if self.diagonal and not below_diagonal(body):
            raise ScheduleError(f"{self}: there is something above the diagonal ({group})")


def _by_words(group: Group) -> bool:
    """Whether matrix instructions take the operands of all products: halves, or float32 that is rounded to TF32."""
    (node,) = group.nodes
    body: Graph = node.attrs[0]
    parts = parts_of(body)
    if parts.scores[0].inputs[0].type.dtype in Half:
        return True
    outside = dict(zip(body.inputs, node.inputs))
    read = [v for n in (*parts.scores, *parts.products) for v in n.inputs]
    made = (body.producers.get(v) or group.graph.producers.get(outside.get(v, v)) for v in read)
    return all(n is not None and n.op is OPS["round_tf32"] for n in made)


def tiles_of(group: Group, s: Attention) -> MatrixTiles:
    """The tiles of a schedule."""
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    dtype = parts.scores[0].inputs[0].type.dtype
    kind = WordTiles if _by_words(group) else SingleTiles
    depths, widths = [one(form_of(n).k) for n in parts.scores], [one(other_dims(body, n)) for n in parts.products]
    return kind(dtype, s.tile, s.threads, depths, widths, s.turned, s.first)


def _copied(group: Group) -> tuple[tuple[bool, ...], tuple[int, ...]]:
    """`turned` and `first` of a schedule that copies, where all operands that come by are halves that are read as they lie; else ()."""
    found = AttentionOperands(group).passing_operands()
    every = [o.lies for o in found if o.lies is not None]
    if len(every) < len(found):
        return (), ()
    memory = [o.memory for o in found]
    return tuple(not at.along_k for at in every), tuple(memory.index(x) for x in memory)


def choose(group: Group, machine: Machine) -> Attention:
    """The schedule: the largest tile that fits, a smaller one where blocks would be few."""
    body = group.nodes[0].attrs[0]
    parts = parts_of(body)
    kept, batch = assumed(parts.extents[0 if parts.rows else 1]), assumed(math.prod(parts.batch))
    diagonal = below_diagonal(body)
    every = [Attention(tile, threads, diagonal) for tile, threads in (TILES_WORDS if _by_words(group) else TILES)]
    turned, first = _copied(group)
    every = [replace(s, turned=turned, first=first) for s in every]
    room = machine.shared_bytes // (SHARE_COPIED if turned else SHARE)
    tiles = [(s, t) for s in every if (t := tiles_of(group, s)).fits and t.nbytes <= room]
    fitting = [s for s, t in tiles if t.registers <= MOST] or [s for s, t in tiles if t.registers <= MOST_WIDE]
    fitting = [s for s in fitting if s.tile[0] < 2 * kept] or fitting[-1:]

    def blocks(s: Attention) -> int:
        return batch * -(-kept // s.tile[0])

    return next((s for s in fitting if blocks(s) >= machine.workers // 4), max(fitting, key=blocks))
