"""Which tile a product has: by what was measured on its generation of GPUs (tuned.py), or else by a rule."""

from __future__ import annotations

from typing import Any

from ingot.backends.cuda.lying import lies
from ingot.backends.cuda.products import Fragments, InTiles, Product, Warpgroups, along_k, of_words
from ingot.backends.cuda.tuned import TUNED
from ingot.ir.dtypes import Half, f32
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of

__all__ = ["candidates", "case_of", "choose", "in_short"]

Tile = tuple[int, int, int]

# (rows, columns, steps of k) of a tile, (rows, columns) of a thread, and what part of the peak it reaches, in percent
TILES = (
    ((128, 128, 16), (8, 8), 90),
    ((128, 64, 16), (8, 4), 75),
    ((64, 128, 16), (4, 8), 75),
    ((64, 64, 16), (4, 4), 60),
    ((32, 64, 32), (4, 4), 45),
    ((64, 32, 32), (4, 4), 45),
    ((32, 32, 32), (2, 2), 30),
    ((16, 64, 32), (2, 4), 30),
    ((64, 16, 32), (4, 2), 30),
)
TILES_F64 = (((64, 64, 16), (4, 4), 80), ((32, 32, 16), (2, 2), 50))
# the same for halves, with the warps along rows and along columns
TILES_HALF = (
    ((128, 128, 32), (2, 4), 90),
    ((128, 64, 32), (4, 2), 75),
    ((64, 128, 32), (2, 4), 75),
    ((64, 64, 32), (2, 2), 60),
    ((32, 64, 32), (2, 2), 45),
    ((64, 32, 32), (2, 2), 45),
    ((32, 32, 32), (2, 2), 30),
    ((16, 64, 32), (1, 4), 25),
)
# the same for float32 that is rounded to TF32
TILES_TF32 = tuple(((bm, bn, 16), warps, rate) for (bm, bn, _), warps, rate in TILES_HALF)
# The same for halves, where warpgroups multiply what lies in shared memory: with the warpgroups, along rows. What is multiplied there and
# passes registers on its way has tiles up to LEAN, which leave room for it.
TILES_WARPGROUP = (
    ((128, 256, 64), 2, 160),
    ((128, 192, 64), 2, 150),
    ((128, 128, 64), 2, 135),
    ((64, 128, 64), 1, 100),
    ((64, 64, 64), 1, 70),
)
TILES_WARPGROUP_TF32 = tuple(((bm, bn, 32), groups, rate) for (bm, bn, _), groups, rate in TILES_WARPGROUP)
LEAN, LEAN_TF32 = 128 * 128, 128 * 256
# Steps of k that are summed up in a row; a longer k falls into parts, where there is room for their sums: of SHORT steps where the result
# has FEW elements, of LONG ones where writing more sums would take as long as multiplying.
CHAIN, SHORT, LONG, FEW = 4096, 256, 1024, 1 << 16
MOST_PARTS = 64  # to keep multiprocessors at work
ROOM = 1 << 26  # sums that all parts may have together
LEAST_STEPS = 128  # of k in a part
STAGES = 4  # tiles that are copied ahead, with those that are multiplied; fewer where they find no room


def choose(group: Group, machine: Machine) -> InTiles:
    """The schedule of a product: what was measured to be the fastest, or the tile that is done soonest where every multiprocessor takes
    blocks in turn; and enough parts of k to keep them all at work."""
    every = candidates(group, machine)
    tuned = TUNED.get(machine.generation, {}).get(case_of(group))
    found = next((s for s, _ in every if in_short(s) == tuned), None)
    if found is not None:
        return found
    n = shape_of(group.nodes[0])
    k = assumed(n.k) if n.k != 0 else 0

    def cost(choice: tuple[InTiles, int]) -> float:
        s, rate = choice
        turns = -(-_blocks(group, s.tile) * s.parts // _workers(machine))
        return turns * s.tile[0] * s.tile[1] * (k / s.parts + 64) / rate

    return min(every, key=cost)[0]


def candidates(group: Group, machine: Machine) -> list[tuple[InTiles, int]]:
    """Every schedule that a product may have, with the part of the peak that its tile should reach; of equal ones the best first."""
    f, n = form_of(group.nodes[0]), shape_of(group.nodes[0])
    words = of_words(group)
    left, right = along_k(group)
    apart = f.zeros is not None and not f.zeros.counted
    if words is None:
        table = TILES_F64 if n.dtype.itemsize == 8 else TILES
        return [(Product(tile, left, right, _parts(group, machine, tile), apart, each=each), rate) for tile, each, rate in table]
    found = [lies(group, side) if words in Half else None for side in (True, False)]
    copied = found[0] is not None, found[1] is not None
    left, right = (along if at is None else at.along_k for at, along in zip(found, (left, right)))
    out: list[tuple[InTiles, int]] = []
    lean = 1 << 30 if all(copied) else LEAN_TF32 if words is f32 else LEAN

    def some(kind: Any, table: tuple[Any, ...], stages: tuple[int, ...]) -> None:
        for tile, shared, rate in table:
            parts = _parts(group, machine, tile)
            for count in stages:
                s = kind(tile, left, right, parts, apart, count, copied, shared)
                if not isinstance(s, Warpgroups) or s.nbytes <= machine.shared_bytes and tile[0] * tile[1] <= lean:
                    out.append((s, rate))

    some(Fragments, TILES_TF32 if words is f32 else TILES_HALF, (STAGES, STAGES - 1) if any(copied) else (2,))
    if machine.warpgroups:
        some(Warpgroups, TILES_WARPGROUP_TF32 if words is f32 else TILES_WARPGROUP, (STAGES, STAGES - 1))
    return out


def in_short(s: InTiles) -> str:
    """What tells a candidate from the others, as tuned.py writes it: "Warpgroups 128x256x64 stages 4"."""
    return f"{type(s).__name__} {'x'.join(map(str, s.tile))} stages {s.stages}"


def case_of(group: Group) -> str:
    """Which products are taken to be alike: "bf16 kn 4096x4096x4096 batch 1", of operands that lie along k or across (n), and of sizes
    rounded up to powers of two."""
    n, words = shape_of(group.nodes[0]), of_words(group)
    kind = "tf32" if words is f32 else (words or n.dtype).name
    sizes = [1 << max(0, assumed(d) - 1).bit_length() if d != 0 else 0 for d in (n.m, n.n, n.k, n.batch)]
    ways = "".join("k" if along else across for along, across in zip(along_k(group), "mn"))
    return f"{kind} {ways} {'x'.join(map(str, sizes[:3]))} batch {sizes[3]}"


def _workers(machine: Machine) -> int:
    return machine.workers // 2


def _blocks(group: Group, tile: Tile) -> int:
    n = shape_of(group.nodes[0])
    m, columns, batch = (assumed(d) if d != 0 else 0 for d in (n.m, n.n, n.batch))
    return max(1, batch * -(-m // tile[0]) * -(-columns // tile[1]))


def _parts(group: Group, machine: Machine, tile: Tile) -> int:
    """Parts of k: enough for multiprocessors to be at work, and for no chain of sums to lose digits."""
    n = shape_of(group.nodes[0])
    m, columns, k, batch = (assumed(d) if d != 0 else 0 for d in (n.m, n.n, n.k, n.batch))
    elements = batch * m * columns
    exact = -(-k // (SHORT if elements <= FEW else LONG)) if k > CHAIN else 1
    most = min(_workers(machine) // _blocks(group, tile), k // LEAST_STEPS, MOST_PARTS)
    return max(1, min(max(most, exact), ROOM // max(1, elements)))
