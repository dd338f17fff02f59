"""Random words for a loop that vectors run in, made ahead of it: a block's four words together, not each for itself."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.lower.writer import KernelWriter, Scalar

__all__ = ["Block", "Keys", "word_of_row"]

Keys = Callable[[Index], tuple[Scalar, ...]]
Block = Callable[[Scalar, Keys], list[Scalar]]

BLOCKS = 8  # that are made at once, one to a lane
LEAST, MOST = 32, 1 << 14  # words of a row
ROUNDS = 10
ROW = 1 << 10  # the least that is set aside for a row: sizes are few, so that one kernel does for streams of many lengths


def word_of_row(w: KernelWriter, key: tuple, place: Index, uniform: int, keys: Keys, block: Block) -> Scalar | None:
    """The word at `place` of a stream, from a row that is filled before the loop of vectors; None where that is no good.

    key: of the stream;  uniform: the scope that knows its seed;  keys(i): what round i adds, two u64
    block(number, keys) -> the four words, each in the low half of an u64
    """
    lanes = w.lanes
    if lanes is None or lanes.most is None or not LEAST <= lanes.most <= MOST or ix.coefficient(place, lanes.var) != 1:
        return None
    first = ix.sub(place, ix.var(lanes.var))
    if ix.depends_on(first, {lanes.var}) or max(w.depth_of(first), uniform, w.depth_of(lanes.extent)) > lanes.around:
        return None
    begin = ix.div(first, 4, w.ranges)
    found = w.remembered(("words", key, lanes.var, first))
    if found is None:
        with w.ahead(lanes.around):
            found = _row(w, begin, ix.sub(first, ix.mul(begin, 4)), lanes.extent, lanes.most, keys, block)
        w.remember(("words", key, lanes.var, first), found, w.depth)
    return w.load(found, ix.sub(place, ix.mul(begin, 4)), dtypes.u32, pinned=True)


def _row(w: KernelWriter, begin: Index, skipped: Index, extent: Index, most: int, keys: Keys, block: Block) -> str:
    """A row of the words from a block on; the first ones may be `skipped`."""
    each = 4 * BLOCKS
    row = w.scratch(dtypes.u32, max(ROW, 1 << (most + 3 + each - 1).bit_length()), "worker")
    words = w.scratch(dtypes.u32, each, "worker")
    table = w.scratch(dtypes.u64, 2 * ROUNDS, "worker")
    with w.loop("serial", ROUNDS) as r:
        for k, x in enumerate(keys(r)):
            w.store(table, ix.add(ix.mul(r, 2), ix.const(k)), x)

    def kept(r: Index) -> tuple[Scalar, ...]:
        return tuple(w.load(table, ix.add(ix.mul(r, 2), ix.const(k)), dtypes.u64, pinned=True) for k in range(2))

    wanted = ix.add(skipped, extent)
    if not wanted.terms and isinstance(wanted.const, int):
        count = ix.const(-(-max(0, wanted.const) // each))
    else:
        count = w.as_index(w.shr(w.add(w.max(w.index_value(wanted), 0), each - 1), each.bit_length() - 1))
    with w.loop("serial", count) as g:
        with w.loop("vector", BLOCKS, BLOCKS, True) as v:
            number = w.index_value(ix.add(begin, ix.add(ix.mul(g, BLOCKS), v)))
            for k, x in enumerate(block(w.cast(number, dtypes.u64), kept)):
                w.store(words, ix.add(v, ix.const(k * BLOCKS)), w.cast(x, dtypes.u32))
        for half in range(0, BLOCKS, 4):
            to = ix.add(ix.mul(g, each), ix.const(4 * half))
            w.append(Transpose(row, to, 4, words, ix.const(half), BLOCKS, 4))
    return row
