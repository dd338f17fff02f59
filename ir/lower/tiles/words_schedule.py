"""The schedule of a tiled contraction whose factors are packed into words of 32 bits, and how it is chosen."""

from __future__ import annotations

import math

from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.intervals import Interval, interval
from ingot.ir.loop.points import Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.schedule import Lines
from ingot.ir.lower.written_load import written_load
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.struct import struct, value_type

__all__ = ["Lying", "Words", "along_of", "channel", "choose", "halves", "lying", "shift_of"]

ROWS = {16: 4, 32: 5, 64: 12}  # of a tile, of two vectors each, by the bytes of a vector register
PACK_ELEMENTS, COPY_ELEMENTS = 16384, 8192  # of a parallel chunk
COPY_WIDTH = 16
RUN = 192  # words of bfloat16 whose products are added up on their own


@value_type
class Words(Schedule):
    """Register tiles over packed panels.

    columns   of a panel, and of a tile
    rows      of a tile; the last tile of all computes its last row again where rows are missing
    group     tiles of an item, one after the other, over one panel
    parallel  items are chunks
    pack      lines of packing to a chunk; a line is all but the first dim of k of a panel
    copy      how A is written to scratch first; None: it is read where it lies
    many      neighbours along a dim of k that share a word, and are multiplied at once: two of 16 bits, four of 8; 1: a word is an element
    run       words of k that are added up on their own, where a sum is a cascade of such runs; 0: all are one run
    """

    columns: int
    rows: int
    group: int
    parallel: bool
    pack: int
    copy: Lines | None = None
    many: int = 1
    run: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""

        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ScheduleError(f"{self}: {what} ({group})")

        lanes(self.columns)
        at_least_one(rows=self.rows, group=self.group, pack=self.pack)
        need(self.many in (1, 2, 4) and self.run >= 0, "words of no such elements, or runs of less than nothing")
        f = form_of(group.nodes[0])
        need(self.many > 1 or not halves(group), "words that are one bfloat16")
        need(self.many == 1 or along_of(group, self.many) is not None, "neighbours that do not fit into a word, or lie apart")
        need(self.copy is not None or f.zeros is None and (self.many == 1 or lying(group, self.many) is not None), "A has no words")


def choose(group: Group, machine: Machine) -> Words:
    """The schedule of a tiled contraction of integers, or of bfloat16."""
    node = group.nodes[0]
    f = form_of(node)
    batch, m, n, k = (math.prod(map(assumed, dims)) for dims in (f.batch, f.m, f.n, f.k))
    base = machine.lanes(32 if halves(group) else node.outputs[0].type.dtype.bits)
    columns = 2 * base if n > base else base
    panels = -(-n // columns)
    most = ROWS.get(machine.vector_bytes, 12)
    rows = min(range(1, min(max(1, m), most) + 1), key=lambda t: (-(-m // t) * (t + 1.5), -t))
    tiles = -(-m // rows)
    flops = 2 * rows * columns * k
    per_item = max(1, min(tiles, machine.chunk_flops // max(1, flops)))
    while per_item > 1 and batch * panels * -(-tiles // per_item) < machine.workers and per_item * flops > machine.chunk_flops // 8:
        per_item = -(-per_item // 2)
    many = next((size for size in ((4, 2) if machine.dot_bytes else (2,)) if along_of(group, size) is not None), 1)
    line = columns * math.prod(map(assumed, f.k[1:]))
    last = assumed((f.left_shape or (1,))[-1])
    in_place = f.zeros is None and (many == 1 or lying(group, many) is not None)
    return Words(
        columns=columns,
        rows=rows,
        group=per_item,
        parallel=2 * batch * m * n * k >= machine.chunk_flops // 4,
        pack=max(1, PACK_ELEMENTS // max(1, line)),
        copy=None if in_place else Lines(COPY_WIDTH, max(1, COPY_ELEMENTS // max(1, last))),
        many=many,
        run=run_of(-(-k // many), RUN) if halves(group) else 0,
    )


def halves(group: Group) -> bool:
    """Whether a contraction is one of bfloat16."""
    node = group.nodes[0]
    return node.outputs[0].type.dtype.kind == "f"


def along_of(group: Group, many: int) -> int | None:
    """The dim of k along which `many` elements share a word: both factors are narrow enough, and A's value has the dim to itself."""
    node = group.nodes[0]
    f = form_of(node)
    along = next((j for j in reversed(range(len(f.k))) if channel(f, j) is not None), None)
    if along is None or not all(_is_narrow(group, f.left, f.right, many)):
        return None
    return along


def _is_narrow(group: Group, left: Value, right: Value, many: int) -> tuple[bool, ...]:
    if halves(group):
        return many == 2, left.type.dtype is dtypes.bf16, right.type.dtype is dtypes.bf16, form_of(group.nodes[0]).zeros is None
    if group.nodes[0].outputs[0].type.dtype.bits != 32:
        return (False,)
    a, b = _values(group, left), _values(group, right)
    if a is None or b is None:
        return (False,)
    bits = 32 // many
    signed = -(1 << bits - 1), (1 << bits - 1) - 1
    inside = signed[0] <= b[0] and b[1] <= signed[1]
    return inside, a[1] - a[0] < 1 << 8 if many == 4 else signed[0] <= a[0] and a[1] <= signed[1]


def shift_of(group: Group, many: int) -> int:
    """What is added to the elements of A, so that they are bytes without a sign."""
    if many != 4:
        return 0
    values = _values(group, form_of(group.nodes[0]).left)
    assert values is not None
    return 0 if 0 <= values[0] and values[1] < 1 << 8 else -values[0]


def channel(f: Form, j: int) -> int | None:
    """The dim of A's value along which a dim of k runs, and nothing else; None where there is none."""
    q, m, k = (
        tuple(ix.const(0) if d == 1 and name == "q" else ix.var(f"{name}{i}") for i, d in enumerate(dims))
        for name, dims in (("q", f.batch), ("m", f.m), ("k", f.k))
    )
    point = f.at_left(q, m, k)
    found = [d for d, i in enumerate(point) if ix.depends_on(i, (f"k{j}",))]
    return found[0] if len(found) == 1 and point[found[0]] == k[j] else None


@struct
class Lying:
    """A where its words lie in memory: the value, and where an element lies in it, a sum of variables q0 …, m0 …, k0 …"""

    value: Value
    where: Index


def lying(group: Group, many: int) -> Lying | None:
    """How the words of A lie in memory, found by writing the load of one element; None where they are made otherwise."""
    f, along = form_of(group.nodes[0]), along_of(group, many)
    if along is None or f.zeros is not None or not isinstance(f.k[along], int) or f.k[along] % many or shift_of(group, many):
        return None
    found = written_load(group, {"q": f.batch, "m": f.m, "k": f.k}, f.a)
    if found is None or not found.cast:
        return None
    (value,), index = found.values, found.load.index
    if value.type.dtype.bits * many != 32 or any(not isinstance(atom, Var) for atom, _ in index.terms):
        return None
    return Lying(value, index) if ix.coefficient(index, f"k{along}") == 1 else None


def _values(group: Group, v: Value) -> Interval | None:
    """The least and the greatest value of the elements of a value of integers."""
    k = GroupKernel(group, "trial", no_code)
    point: Point = tuple(ix.var(f"a{i}") for i in range(v.type.rank))
    for i, d in enumerate(v.type.shape):
        k.w.ranges[f"a{i}"] = d
    x = k.elements().at(v, point)
    found = interval(k.w.finish(), x.operand, x.dtype)
    return None if x.dtype is dtypes.bool_ else found


