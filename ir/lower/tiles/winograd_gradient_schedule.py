"""The schedule of the gradient of 3 x 3 weights by minimal filtering, and when there is one."""

from __future__ import annotations

import math

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.filtering import AT_ONCE, PRODUCTS
from ingot.ir.lower.tiles.winograd_schedule import channels_last
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.struct import value_type

__all__ = ["WinogradGradient", "choose", "count_of"]

ROWS = {16: 4, 32: 6, 64: 14}  # channels of the result that are multiplied at once with two vectors of the input's, by bytes of a vector
BLOCK = 64  # channels of either: the sums of an item, sixteen of each pair, stay in the second cache beside the factors of a step
STEP = 32  # tiles whose products are added up in registers
LONGEST = 128  # steps that are added up in a row
FEWEST, FEWEST_TILES = 32, 256  # channels, tiles: below, transforms outweigh the products
PARTIAL_BYTES = 32 << 20  # of all sums
COMBINE_ELEMENTS = 4096


@value_type
class WinogradGradient(Schedule):
    """Tiles of two by two gradients of results and the four by four inputs that they meet: sixteen products of a pair of channels, not 36.

    step      tiles whose products are added up in registers
    steps     of a part, whose sums are added up on their own
    results   channels of the result in an item
    channels  of the input in an item
    rows      channels of the result that are multiplied at once with some columns, channels of the input
    columns   of those
    width     lanes of what is done before and after the products
    combine   channels of the result in a parallel chunk of the second phase
    """

    step: int
    steps: int
    results: int
    channels: int
    rows: int
    columns: int
    width: int
    combine: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.columns)
        lanes(self.width)
        at_least_one(step=self.step, steps=self.steps, rows=self.rows, combine=self.combine, results=self.results, channels=self.channels)
        f = form_of(group.nodes[0])
        if not _fits(f) or self.columns % self.width or self.rows > self.results:
            raise ScheduleError(f"{self}: no 3 x 3 windows side by side, or no whole vectors ({group})")
        if int(f.n[0]) % self.results or int(f.m[-1]) % self.channels or self.channels % self.columns:  # type: ignore[arg-type]
            raise ScheduleError(f"{self}: blocks of channels that are not whole ({group})")


def count_of(f: Form) -> tuple[int, int, int]:
    """Images, and tiles in each dim of one."""
    n, high, wide = (int(d) for d in f.k)  # type: ignore[arg-type]
    return n, -(-high // AT_ONCE), -(-wide // AT_ONCE)


def _fits(f: Form) -> bool:
    """Whether a contraction is the gradient of 3 x 3 windows side by side, all of known extents."""
    if len(f.m) != 3 or f.m[:2] != (3, 3) or len(f.k) != 3 or f.batch != (1,) or len(f.n) != 1 or not f.overlapping:
        return False
    if not all(isinstance(d, int) for d in (*f.m, *f.n, *f.k, *f.left.type.shape)) or min(f.k) < 1:  # type: ignore[type-var]
        return False
    if f.zeros is not None and (not f.zeros.counted or any(g != 1 for g in f.zeros.gap)):
        return False
    places = f.at_left((ZERO,), (ix.var("m0"), ix.var("m1"), ZERO), (ZERO, ix.var("k1"), ix.var("k2")))[2:]
    return all(ix.coefficient(p, f"m{d}") == 1 == ix.coefficient(p, f"k{d + 1}") for d, p in enumerate(places))


def choose(group: Group, machine: Machine) -> WinogradGradient | None:
    """The schedule where it pays: many tiles, and channels that lie together in both factors. None where it does not."""
    node = group.nodes[0]
    f = form_of(node)
    if any(v.type.dtype is not dtypes.f32 for v in (node.outputs[0], f.left, f.right)) or not _fits(f):
        return None
    if not channels_last(group, f.left) or not channels_last(group, f.right):
        return None
    inputs, outputs = int(f.m[-1]), int(f.n[0])  # type: ignore[arg-type]
    width = machine.lanes(32)
    columns = 2 * width
    count = math.prod(count_of(f))
    if inputs % columns or min(inputs, outputs) < FEWEST or count < FEWEST_TILES or count * AT_ONCE**2 > 1.25 * math.prod(f.k):
        return None
    channels = max(d for d in range(columns, min(inputs, BLOCK) + 1, columns) if inputs % d == 0)
    results = max(d for d in range(1, min(outputs, BLOCK) + 1) if outputs % d == 0)
    blocks = (inputs // channels) * (outputs // results)
    steps = -(-count // STEP)
    parts = min(steps, max(-(-machine.workers // blocks), -(-steps // LONGEST)))
    each = -(-steps // parts)
    if results < FEWEST // 2 or PRODUCTS * inputs * outputs * 4 * -(-steps // each) > PARTIAL_BYTES:
        return None

    def cost(rows: int) -> float:
        """About how many steps all rows take, and those that they share."""
        return results + 1.5 * -(-results // rows)

    rows = min(range(1, min(results, ROWS.get(machine.vector_bytes, ROWS[16])) + 1), key=cost)
    return WinogradGradient(
        step=STEP, steps=each, results=results, channels=channels, rows=rows, columns=columns, width=width,
        combine=max(1, COMBINE_ELEMENTS // inputs),
    )  # fmt: skip
