"""Choosing vectors, tiles and bands of a depthwise convolution."""

from __future__ import annotations

import math

from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.depthwise.schedule import Depthwise, Stage, can_stage, rows, steps
from ingot.ir.lower.group import Group
from ingot.ir.lower.nest import NEST
from ingot.ir.lower.nest.schedule import Nest
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of

__all__ = ["choose"]

RESULTS = 7  # of a tile, whose sums and inputs together find room in 16 registers
UNROLLED = 12  # taps that are written one after the other; of more, the outer dims are loops
HIGHEST = 16  # of a window over what is set among its zeros, all of whose rows are
PACK = 8192
LINES = 4  # vectors of a line without rows, each with a sum of its own


def choose(group: Group, machine: Machine) -> Depthwise | Nest:
    """The schedule of a depthwise convolution; that of a nest where lanes along the last dim would skip elements."""
    node = group.nodes[0]
    f, dtype = form_of(node), shape_of(node).dtype
    taps = [assumed(d) for d in f.k[:-1]]
    unroll = 0
    while unroll < len(taps) and math.prod(taps[len(taps) - unroll - 1 :]) <= UNROLLED:
        unroll += 1
    width = machine.lanes(dtype.bits)
    channels = bool(group.orders) or math.prod(map(assumed, f.m)) == 1
    if not channels and can_stage(f):
        found = _staged(f, dtype.itemsize, machine)
        if found is not None:
            return found
    if not channels and steps(f)[-1][0] != 1:
        return NEST.choose(group, machine)
    along = len(f.m) - (1 if channels else 2)
    d = f.m[along] if along >= 0 else 1
    tile = _tile(d) if isinstance(d, int) else 1
    line = math.prod(taps) * assumed(f.m[-1]) * (assumed(f.batch[1]) if channels else tile)
    return Depthwise(width, channels, tile, max(1, machine.chunk_flops // 4 // max(1, line)), unroll, PACK)


def _tile(d: int) -> int:
    """Results of a tile along a dim, with little overlap at its end."""
    return min(range(1, min(d, RESULTS) + 1), key=lambda t: (-(-d // t) * (t + 1.5), -t)) if d else 1


def _staged(f: Form, itemsize: int, machine: Machine) -> Depthwise | None:
    """Bands of rows whose input finds room in the first cache, or are a few tiles; None where that leaves the second one, too."""
    taps, last, high = [assumed(d) for d in f.k[:-1]], assumed(f.m[-1]), rows(f)
    if math.prod(taps[-2:-1]) > HIGHEST:
        return None
    width = machine.lanes(itemsize * 8) * (1 if len(taps) > 1 else LINES)
    while width > last:
        width //= 2

    def nbytes(band: int) -> int:
        return math.prod(Stage.of(f, band, width).shape) * itemsize

    most, fits = high, machine.cache_bytes[0] * 3 // 4
    if nbytes(high) > fits:
        more = nbytes(2) - nbytes(1)
        most = min(high, max(2 * RESULTS, (fits - nbytes(1)) // more + 1)) if more else 1
    band = -(-high // -(-high // most))
    if nbytes(band) > machine.cache_bytes[1] // 2:
        return None
    flops = math.prod(taps) * band * last
    unroll = 1 if math.prod(taps[-2:]) <= UNROLLED else 0
    return Depthwise(width, False, _tile(band), max(1, machine.chunk_flops // 4 // flops), unroll, PACK, band)
