"""The schedule of the gradient of a depthwise convolution's weight, and when there is one."""

from __future__ import annotations

import math

from ingot.ir.loop import index as ix
from ingot.ir.loop.points import Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.depthwise.kind import is_depthwise_gradient
from ingot.ir.lower.depthwise.schedule import Stage, rows
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.shape import order_of, shape_of
from ingot.ir.lower.tiles.winograd_schedule import channels_last
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.struct import replace, value_type

__all__ = ["DepthwiseGradient", "choose", "forward_of"]

REGISTERS = {16: 12, 32: 12}  # sums that are kept at once, by the bytes of a vector, of which there are twice as many where it is longer
FEWEST_SUMS = 6  # chains of sums that hide most of how long an addition takes
IN_A_ROW = 128  # lines or bands whose sums are added up one after the other
COMBINE_ELEMENTS = 4096


@value_type
class DepthwiseGradient(Schedule):
    """Sums of the products of a channel's gradients with the inputs that they meet, one for each tap, lane by lane.

    width     lanes of a vector
    channels  lanes run over channels, which lie last; else along the last spatial dim, over an input that is set among its zeros first
    taps      taps whose sums are in registers at once; with channels, those of a row of the window
    band      lines of gradients at a time; with channels, one
    steps     bands of a part, whose sums are added up on their own
    combine   channels in a parallel chunk of the second phase
    """

    width: int
    channels: bool
    taps: int
    band: int
    steps: int
    combine: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(taps=self.taps, band=self.band, steps=self.steps, combine=self.combine)
        f = form_of(group.nodes[0])
        if not _fits(group) or self.channels and (f.n != (1,) or self.band != 1):
            raise ScheduleError(f"{self}: no gradient of windows of one channel each ({group})")
        if self.band > rows(forward_of(f)):
            raise ScheduleError(f"{self}: bands of more lines than there are ({group})")


def _fits(group: Group) -> bool:
    """Whether a group is a gradient of windows of one channel each, of known extents but for the number of images."""
    f = form_of(group.nodes[0])
    if not is_depthwise_gradient(group.nodes[0]) or f.left.type.rank != len(f.m) + 1:
        return False
    if f.zeros is not None and (not f.zeros.counted or any(g != 1 for g in f.zeros.gap)):
        return False
    if not all(isinstance(d, int) and d > 0 for d in (*f.batch, *f.n, *f.k[1:], *f.left.type.shape[1:])):
        return False
    m, k = (tuple(ix.var(f"{name}{d}") for d in range(len(f.m))) for name in "mk")
    return f.at_left((ix.var("q0"),), m, k)[:2] == (k[0], ix.add(ix.var("q0"), m[-1]))


def forward_of(f: Form) -> Form:
    """The windows of whose weight f is the gradient: what is k there are results here."""

    def at_left(q: Point, m: Point, k: Point) -> Point:
        return f.at_left((q[1],), k, (q[0], *m))

    return replace(f, batch=(f.k[0], f.batch[0]), m=f.k[1:], k=f.m, at_left=at_left)


def choose(group: Group, machine: Machine) -> DepthwiseGradient | None:
    """The schedule of a gradient of windows of one channel each, where it has one."""
    f = form_of(group.nodes[0])
    if not _fits(group):
        return None
    registers, base = REGISTERS.get(machine.vector_bytes, 2 * REGISTERS[32]), machine.lanes(shape_of(group.nodes[0]).dtype.bits)
    if all(channels_last(group, v) for v in (f.left, f.right)):
        return _over_channels(f, base, registers, machine) if f.n == (1,) else None
    if any(order_of(group, v) is not None for v in (f.left, f.right)):
        return None
    return _over_lines(f, shape_of(group.nodes[0]).dtype.itemsize, base, registers, machine)


def _over_channels(f: Form, base: int, registers: int, machine: Machine) -> DepthwiseGradient:
    """Lines of gradients of a block of channels, and one row of the window after the other."""
    channels, wide = int(f.batch[0]), int(f.m[-2])  # type: ignore[arg-type]
    fits = [n for n in (4, 2, 1) if n * min(wide, registers) <= registers]
    whole = [n for n in fits if channels % (n * base) == 0 and n * wide >= FEWEST_SUMS]
    vectors = whole[0] if whole else fits[0]
    while vectors > 1 and vectors * base >= 2 * channels:
        vectors //= 2
    width, taps = vectors * base, registers // vectors
    return _shared(f, width, True, -(-wide // -(-wide // taps)), 1, -(-channels // width), math.prod(map(assumed, f.k[:-1])), machine)


def _over_lines(f: Form, itemsize: int, base: int, registers: int, machine: Machine) -> DepthwiseGradient | None:
    """Bands of lines, for which what they read finds room in the first cache."""
    forward, last, taps = forward_of(f), int(f.k[-1]), math.prod(map(assumed, f.m))  # type: ignore[arg-type]
    width, high = base, rows(forward)
    while width // 2 >= last:
        width //= 2

    def nbytes(band: int) -> int:
        return math.prod(Stage.of(forward, band, width).shape) * itemsize

    most, fits = high, machine.cache_bytes[0] * 3 // 4
    if nbytes(high) > fits:
        more = nbytes(2) - nbytes(1) if high > 1 else 0
        most = min(high, max(1, (fits - nbytes(1)) // more + 1)) if more else 1
    band = -(-high // -(-high // most))
    if nbytes(band) > machine.cache_bytes[1] // 2:
        return None
    lead = math.prod(map(assumed, f.k[:-2])) if len(f.k) > 2 else assumed(f.k[0])
    results = int(f.batch[0]) * int(f.n[0])  # type: ignore[arg-type]
    return _shared(f, width, False, -(-taps // -(-taps // registers)), band, results, lead * -(-high // band), machine)


def _shared(f: Form, width: int, channels: bool, taps: int, band: int, blocks: int, bands: int, machine: Machine) -> DepthwiseGradient:
    """Parts of so many bands, of which each of `blocks` of channels has its own."""
    parts = max(-(-bands // IN_A_ROW), min(bands, -(-machine.workers // blocks)))
    combine = max(1, COMBINE_ELEMENTS // (math.prod(map(assumed, f.m)) * max(1, parts)))
    return DepthwiseGradient(width, channels, taps, band, max(1, -(-bands // parts)), combine)
