"""Choosing tiles and blocks for a CPU: what stays in registers, in the second cache, and in one parallel chunk."""

from __future__ import annotations

import math

from ingot.ir.lower.assumed import assumed, assumed_shape
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.tiles.phases import least, phases
from ingot.ir.lower.tiles.schedule import SQUARES, Lines, Pack, Squares, Tiles
from ingot.ir.lower.tiles.shape import Shape, apart, copied, in_place, right_of, shape_of
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Dims, form_of
from ingot.ir.size import Size, at_most, exactly

__all__ = ["choose"]

# Rows of a tile, of two vectors each, by the bytes of a vector register. 32 registers of 64 bytes hold 14; 12 rows that are
# apart in memory still find room in one set of the first cache where their distance is a multiple of 4 KB.
ROWS = {16: 4, 32: 6}
ROWS_WIDE, ROWS_WIDE_APART = 14, 12
APART = 128  # elements between two steps of k from which on rows are gathered first: each is read once then, not for every panel
TAIL = 4
FEWEST_CHANNELS, FEWEST_PRODUCTS = 16, 64  # channels, and what each is multiplied with, that are worth a copy that has them last
FEWEST_SIDE, FEWEST_STEPS = 4, 512  # elements of a square's side; steps of k, where A could be read where it lies
LINE, APART_BYTES = 64, 512  # of places that lie a multiple of the latter apart, each has a line more
STORED, TURNED = 20, 5  # steps of k that take as long as to store a row by its columns one by one, and transposed
FLAT = 0.97  # rows one after the other are worth their own pointers from here on
FEW = 24  # tiles of rows that are read through B where it lies: packing it takes as long as some of them
NEAR = 8  # of first caches, a B that is as small as this is near anyway
MOST_PARTS = 16
MOST_CACHE_PARTS, PARTIAL_BYTES = 64, 16 << 20  # of parts that are there for the caches' sake: how many, and their sums
COPY_WIDTH = 16
RUN = 384  # steps of a run: a tile's sums leave their registers at its end, which costs as much as some steps
SIDE = 32  # bytes of the side of a square
PACK_ELEMENTS, COPY_ELEMENTS, COMBINE_ELEMENTS = 16384, 8192, 4096  # of a parallel chunk
PACK_IN_PARALLEL = 65536  # elements from which on packing is worth other workers


def choose(group: Group, machine: Machine) -> Tiles:
    """The schedule of a tiled contraction."""
    node = group.nodes[0]
    f = form_of(node)
    dtype, *sizes = shape_of(node)
    n = Shape(dtype, *map(assumed, sizes))
    phased = len(phases(f)) > 1
    rows, steps = least(f)
    f_m, f_k = assumed_shape(rows), assumed_shape(steps)
    if phased:  # tiles are those of one
        n = n._replace(m=math.prod(f_m), k=math.prod(f_k))
    base = machine.lanes(n.dtype.bits)
    columns = 2 * base if n.n > base else base
    most = ROWS.get(machine.vector_bytes, ROWS_WIDE if f.overlapping else ROWS_WIDE_APART)
    tile, in_a_row = _tile(f_m, most), _tile((n.m,), most)
    turned = _turned(group, in_a_row, n) if not phased else 0
    # a pointer for each row is found in registers where these are few; else all rows are at offsets of one
    flat = f.overlapping and most in ROWS.values() and len(f_m) > 1 and all(isinstance(d, int) for d in f.m)
    flat = flat and (turned > 0 or _dear(in_a_row, (n.m,)) < FLAT * _dear(tile, f_m))
    if flat:
        f_m, tile = (n.m,), in_a_row
    turned = turned if len(tile) == 1 else 0
    whole = (math.lcm(*tile, turned),) if turned else tile  # rows that are stored together
    tiles = math.prod(-(-d // t) for d, t in zip(f_m, whole))
    fewest = math.prod(-(-d // t) for d, t, known in zip(f_m, whole, f.m) if isinstance(known, int))  # where sizes turn out to be small
    right = right_of(group)
    direct = (tiles <= FEW or n.n * n.k * n.dtype.itemsize <= machine.cache_bytes[0] * NEAR) and right is not None and right.columns == 1
    while direct and columns > 4 and not at_most(columns, math.prod(f.n)):
        columns //= 2
    direct = direct and at_most(columns, math.prod(f.n)) is True
    turn = min(columns, SIDE // n.dtype.itemsize)
    if direct or right is None or right.steps != 1 or right.columns == 0 or not at_most(turn, math.prod(f.k)):
        turn = 0
    panels = -(-n.n // columns)
    work, wanted = machine.chunk_flops, machine.workers
    near = machine.cache_bytes[1] // 2  # packed columns stay in the second cache while rows stream past
    step, parts, k = assumed(f.k[0]) if f_k else 1, 1, n.k
    if f_k and f.overlapping and not phased:  # a k whose columns leave the second cache is cut into parts
        nbytes = n.k * columns * n.dtype.itemsize
        fit = min(f_k[0], MOST_CACHE_PARTS, -(-nbytes // (near // 4)), PARTIAL_BYTES // max(1, n.batch * n.m * n.n * 4))
        if fit > 1 and nbytes > near and tiles > 1:
            step = -(-f_k[0] // fit)
            parts = -(-f_k[0] // step)
            k = n.k // f_k[0] * step
    flops = 2 * math.prod(whole) * columns * k

    block = max(1, min(panels, near // max(1, k * columns * n.dtype.itemsize)))
    while block > 1 and parts * n.batch * -(-panels // block) * fewest < wanted:
        block = -(-block // 2)
    per_item = max(1, min(tiles, work // max(1, flops * block)))
    while per_item > 1 and parts * n.batch * -(-panels // block) * -(-tiles // per_item) < wanted and per_item * flops * block > work // 8:
        per_item = -(-per_item // 2)
    items = n.batch * -(-panels // block) * -(-tiles // per_item)

    # too few items: k in parts as well, and their sums at the end
    if parts == 1 and f_k and not phased and items < wanted and flops * tiles * panels * n.batch > 4 * work:
        step = -(-f_k[0] // min(f_k[0], MOST_PARTS))
        parts = -(-f_k[0] // step)
    known = not f.k or isinstance(f.k[0], int)

    lies = in_place(group)
    copy = _copy(group, n, columns, lies.plain)
    rows_bytes = math.prod(tile) * n.k * n.dtype.itemsize
    return Tiles(
        pack=Pack(columns, direct=True) if direct else Pack(columns, _pack_chunk(f.k, n.b_batch * panels, columns, turn), turn=turn),
        tile=tile,
        block=block,
        group=per_item,
        parallel=2 * n.batch * n.m * n.n * n.k >= work // 4 and items * parts > 1,
        step=step,
        run=run_of((step if known else f.k[0]) * math.prod(f.k[1:]), RUN),
        copy=copy,
        gather=copy is None and not flat and lies.apart >= APART and parts == 1 and block > 1 and math.prod(tile[:-1]) == 1
        and rows_bytes <= near // 2 and isinstance(f.m[-1], int),
        combine=Lines(min(columns, COPY_WIDTH), max(1, COMBINE_ELEMENTS // max(1, n.n * parts // 4))) if parts > 1 else None,
        into=1 if known else parts,
        near=near // n.dtype.itemsize if isinstance(sizes[-1], Size) else 0,
        tail=TAIL if any(isinstance(d, Size) and t > TAIL and exactly(d, t) is None for d, t in zip(f.m, tile)) else 0,
        flat=flat,
        turn=turned if parts == 1 and columns % (turned or 1) == 0 else 0,
    )


def _pack_chunk(dims: Dims, panels: int, columns: int, turn: int) -> int:
    """Lines of packing in a chunk; a line is all but the first dim of k of a panel, or several squares of it."""
    k = assumed_shape(dims)
    line = columns * (SQUARES * turn or math.prod(k[1:]))
    lines = panels * (-(-math.prod(k) // (SQUARES * turn)) if turn else k[0] if k else 1)
    return max(1, lines if lines * line < PACK_IN_PARALLEL else PACK_ELEMENTS // max(1, line))


def _copy(group: Group, n: Shape, columns: int, plain: bool) -> Lines | Squares | None:
    """How A is copied: with its channels last where these lie apart and are multiplied with many columns."""
    f, found = form_of(group.nodes[0]), apart(group)
    if found is not None and (not plain or n.k >= FEWEST_STEPS):
        channels, side = assumed(f.left.type.shape[1]), SIDE // n.dtype.itemsize
        while side > min(found.sizes[-1], channels):
            side //= 2
        if side >= FEWEST_SIDE and assumed(f.k[-1]) >= FEWEST_CHANNELS and n.n * math.prod(map(assumed, f.k[:-1])) >= FEWEST_PRODUCTS:
            gap = LINE // n.dtype.itemsize if channels * n.dtype.itemsize % APART_BYTES == 0 else 0
            return Squares(side, max(1, COPY_ELEMENTS // (found.extent[-1] * channels)), gap)
    if plain:
        return None
    line = assumed((copied(group).shape or (1,))[-1])
    return Lines(min(columns, COPY_WIDTH), max(1, COPY_ELEMENTS // max(1, line)))


def _turned(group: Group, tile: tuple[int, ...], n: Shape) -> int:
    """The side of squares of results that are transposed, where rows of a convolution lie together and its columns, which are lanes, do
    not: to store those one by one costs as much as some steps of k. 0: there are none."""
    f, rank = form_of(group.nodes[0]), len(group.nodes[0].outputs[0].type.shape)
    rows = tuple((len(f.batch) + d,) for d in range(len(f.m)))
    if not f.overlapping or f.dims[rank - len(rows) :] != rows or not all(isinstance(d, int) for d in f.m):
        return 0
    if any(v in group.orders or v.type.rank != rank for v in group.outputs):
        return 0
    side = SIDE // n.dtype.itemsize
    some = math.lcm(tile[0], side)
    dear = -(-n.m // some) * some * (n.k + TURNED) > -(-n.m // tile[0]) * tile[0] * (n.k + STORED)
    return 0 if n.m < some or dear else side


def _dear(tile: tuple[int, ...], m: tuple[int, ...]) -> float:
    """About what all tiles cost: each as many steps as it has rows, and some for what they share."""
    return (math.prod(tile) + 1.5) * math.prod(-(-d // t) for d, t in zip(m, tile))


def _tile(m: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Extents of a tile of at most `most` rows, filled from the last dim, with little overlap at the ends."""
    out = []
    for d in reversed(m):
        best = min(range(1, min(d, most) + 1), key=lambda t: (-(-d // t) * (t + 1.5), -t))
        out.append(best)
        most //= best
    return tuple(reversed(out))
