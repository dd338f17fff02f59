"""Choosing tiles and blocks for a CPU: what stays in registers, in the second cache, and in one parallel chunk."""

from __future__ import annotations

import math

from ingot.ir.graph import Graph, Value
from ingot.ir.lower.assumed import assumed, assumed_shape
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.tiles.phases import least, phases
from ingot.ir.lower.tiles.schedule import SQUARES, Lines, Pack, Squares, Tiles
from ingot.ir.lower.tiles.shape import Shape, apart, copied, in_place, right_of, shape_of
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Dims, form_of
from ingot.ir.size import Size, at_most, exactly

__all__ = ["choose", "is_steady"]

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
OWN_TILES, OWN_FROM = (2, 64), 2  # tiles of rows for which items pack their own panels, of a B larger than so many first caches;
OWN_PANELS, OWN_STEPS, MOST_LOTS = 4, 384, 16  # how many panels, steps of k at a time, and how often sums are taken up again
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
    lies, once = in_place(group), right is not None and is_steady(group.graph, right.value)  # panels of what is steady are made once
    direct = 0 if once else _direct(group, n, columns, tiles, machine)
    columns = direct or columns
    turn = min(columns, SIDE // n.dtype.itemsize)
    if direct or right is None or right.steps != 1 or right.columns == 0 or not at_most(turn, math.prod(f.k)):
        turn = 0
    panels = -(-n.n // columns)
    work, wanted = machine.chunk_flops, machine.workers
    near = machine.cache_bytes[1] // 2  # packed columns stay in the second cache while rows stream past
    step, parts, k = assumed(f.k[0]) if f_k else 1, 1, n.k
    if f_k and f.overlapping and not phased:  # a k whose columns leave the second cache is cut into parts
        step = _near(n, f_k[0], columns, near) if tiles > 1 else step
        parts = -(-f_k[0] // step)
        k = n.k // f_k[0] * step if parts > 1 else k
    flops = 2 * math.prod(whole) * columns * k

    block = max(1, min(panels, near // max(1, k * columns * n.dtype.itemsize)))
    while block > 1 and parts * n.batch * -(-panels // block) * fewest < wanted:
        block = -(-block // 2)
    per_item = max(1, min(tiles, work // max(1, flops * block)))
    while per_item > 1 and parts * n.batch * -(-panels // block) * -(-tiles // per_item) < wanted and per_item * flops * block > work // 8:
        per_item = -(-per_item // 2)
    own, depth = _own(group, n, columns, tiles, lies.apart, machine) if not once else (0, 0)
    if depth:
        direct, block, per_item = 0, own, tiles
    items = n.batch * -(-panels // block) * -(-tiles // per_item)

    # too few items: k in parts as well, and their sums at the end
    if parts == 1 and f_k and not phased and items < wanted and flops * tiles * panels * n.batch > 4 * work:
        step = -(-f_k[0] // min(f_k[0], MOST_PARTS))
        parts = -(-f_k[0] // step)
    known = not f.k or isinstance(f.k[0], int)

    copy = _copy(group, n, columns, lies.plain)
    rows_bytes = math.prod(tile) * n.k * n.dtype.itemsize
    return Tiles(
        pack=Pack(columns, 1 if direct else _pack_chunk(f.k, n.b_batch * panels, columns, turn), direct > 0, turn, depth),
        tile=tile,
        block=block,
        group=per_item,
        parallel=2 * n.batch * n.m * n.n * n.k >= work // 4 and items * parts > 1,
        step=step,
        run=run_of((step if known else f.k[0]) * math.prod(f.k[1:]), RUN),
        copy=copy,
        gather=not depth and copy is None and not flat and lies.apart >= APART and parts == 1 and block > 1 and math.prod(tile[:-1]) == 1
        and rows_bytes <= near // 2 and isinstance(f.m[-1], int),
        combine=Lines(min(columns, COPY_WIDTH), max(1, COMBINE_ELEMENTS // max(1, n.n * parts // 4))) if parts > 1 else None,
        into=1 if known else parts,
        near=near // n.dtype.itemsize if isinstance(sizes[-1], Size) else 0,
        tail=TAIL if any(isinstance(d, Size) and t > TAIL and exactly(d, t) is None for d, t in zip(f.m, tile)) else 0,
        flat=flat,
        turn=turned if parts == 1 and columns % (turned or 1) == 0 else 0,
    )


def is_steady(graph: Graph, v: Value) -> bool:
    """Whether a value is a steady input, or one in another shape: what is made of it is made once."""
    while (node := graph.producers.get(v)) is not None and len(node.inputs) == 1:
        v = node.inputs[0]
    return any(graph.inputs[i] is v for i in graph.steady)


def _near(n: Shape, steps: int, columns: int, near: int) -> int:
    """How many of so many steps of the first dim of k are a part, whose columns stay in the second cache."""
    nbytes = n.k * columns * n.dtype.itemsize
    fit = min(steps, MOST_CACHE_PARTS, -(-nbytes // (near // 4)), PARTIAL_BYTES // max(1, n.batch * n.m * n.n * 4))
    return -(-steps // fit) if fit > 1 and nbytes > near else steps


def _direct(group: Group, n: Shape, most: int, tiles: int, machine: Machine) -> int:
    """Columns of a tile, `most` at most, that are read where B lies; 0: they are packed."""
    right, columns = right_of(group), math.prod(form_of(group.nodes[0]).n)
    near = n.n * n.k * n.dtype.itemsize <= machine.cache_bytes[0] * NEAR
    if right is None or right.columns != 1 or tiles > FEW and not near:
        return 0
    while most > 4 and not at_most(most, columns):
        most //= 2
    return most if at_most(most, columns) is True else 0


def _own(group: Group, n: Shape, columns: int, tiles: int, apart: int, machine: Machine) -> tuple[int, int]:
    """Panels of an item that packs them itself, and steps of k that it packs at a time; 0, 0: B is packed for all, or not at all."""
    f, right, (fewest, most) = form_of(group.nodes[0]), right_of(group), OWN_TILES
    if right is None or right.columns != 1 or len(f.k) != 1 or not all(isinstance(d, int) for d in (*f.batch, *f.m, *f.n, *f.k)):
        return 0, 0
    lots, panels = 1 if 2 * n.k <= 3 * OWN_STEPS else -(-n.k // OWN_STEPS), -(-n.n // columns)
    small = n.n * n.k * n.dtype.itemsize <= OWN_FROM * machine.cache_bytes[0]
    if small or not fewest <= tiles <= most or not 1 <= lots <= MOST_LOTS or apart >= APART or n.batch * panels < machine.workers:
        return 0, 0
    block = min(panels, OWN_PANELS)
    while n.batch * -(-panels // block) < machine.workers:
        block = -(-block // 2)
    return -(-panels // -(-panels // block)), -(-n.k // lots)


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
