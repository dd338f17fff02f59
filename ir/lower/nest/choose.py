"""Choosing the schedule of a nest for a CPU: which axes run as one, which one vectors run along, what makes up a chunk."""

from __future__ import annotations

import math

from ingot.ir.facts import Contraction, Window
from ingot.ir.lower import few_rows
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import rounds, run_of
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.group import Group
from ingot.ir.lower.nest import turn
from ingot.ir.lower.nest.passes import Passes, fold_of
from ingot.ir.lower.nest.schedule import Nest, Split, along_k_fits
from ingot.ir.lower.nest.trial import Trial
from ingot.ir.lower.nest.turn import Across
from ingot.ir.lower.small_loops import steps_at_a_point
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of
from ingot.ir.size import Size, at_most, ceil_div, larger
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["choose", "unrolls"]

UNROLL = 16  # windows of up to this many elements are expanded in place
PART = 8192  # elements from which on a part of a long reduction is worth a chunk
MOST_PARTS = 64
LEAST = 3  # parts of a chunk that are still worth another worker, where there are no more than a few chunks
ROW_REGISTERS = 16  # that hold the sums, where a vector is multiplied with a matrix row by row
MOST_CUTS, MOST_IN_PARTS = 4, 60  # of an axis whose parts read different elements; instructions that are written once for each
FOLLOWERS = 4  # ops after such a product, up to which they are written for so many lanes


@value_type
class _Axis:
    """A merged axis."""

    members: tuple[int, ...]
    extent: Dim
    reduced: bool

    @property
    def assumed(self) -> int:
        return assumed(self.extent)


def choose(group: Group, machine: Machine) -> Nest | Across | FewRows:
    """The schedule of a nest."""
    streamed = few_rows.choose(group, machine)
    if streamed is not None:
        return streamed
    passes = Passes(group)
    unroll = unrolls(group)
    trial = Trial(group, passes, unroll)
    axes = _merged(group, trial)
    turned = turn.choose(group, tuple(a.members for a in axes), machine)
    if turned is not None:
        return turned
    vector = _vector(axes, trial, machine)
    along_k = 0
    if along_k_fits(group) and assumed(form_of(group.nodes[0]).k[-1]) >= 2 * machine.lanes(32):
        vector, along_k = None, 4 * machine.lanes(max(32, group.nodes[0].inputs[0].type.dtype.bits))
    vec = None if vector is None else axes[vector]
    width = 1 if vec is None else _width(group, vec, bool(passes.reductions), trial, machine)
    if vec is not None and _streams_rows(group, axes, vec):
        width = _row_width(width, vec, machine.lanes(max(32, *(v.type.dtype.bits for v in group.nodes[0].inputs))), machine.workers)

    per_point = max(1, trial.instructions)
    inner = math.prod(a.assumed for a in axes if a.reduced)
    across = vec.assumed if vec is not None and not vec.reduced else 1
    block = across
    if across > 1:
        block = min(across, max(width, machine.chunk_work // (per_point * max(1, inner)) // width * width))
    chunk = max(1, machine.chunk_work // max(1, per_point * block * inner))
    rows = math.prod(a.assumed for a in axes if not a.reduced and a is not vec)
    parts = 1 if group.split or any(isinstance(a.extent, Size) for a in axes) else _parts(per_point * inner * across * rows, machine)
    if 1 < parts <= rows:
        block, chunk = across, -(-rows // parts)
    elif parts > 1 and across > 1:
        block, chunk = max(width, -(-across // (-(-parts // rows) * width)) * width), 1
    split = _split(axes, vec, width, inner) if group.split else None
    cuts: tuple[int, ...] = ()
    if vec is not None and not group.reduced and at_most(vec.extent, block) and trial.instructions <= MOST_IN_PARTS:
        cuts = trial.cuts(vec.members[-1]) if isinstance(vec.extent, int) else ()
    return Nest(
        axes=tuple(a.members for a in axes),
        vector=vector,
        width=width,
        block=block,
        chunk=1 if group.split else chunk,
        kept=() if group.split else _kept(group, passes, axes, vec, machine),
        split=split,
        run=run_of(larger(_steps(passes, axes, vec, width, split), steps_at_a_point(group.nodes[0], along_k))),
        along_k=along_k,
        unroll=unroll,
        # what is this large will have left the caches before it is read
        streaming=tuple(i for i, v in enumerate(group.outputs) if at_most(machine.cache_bytes[2], v.type.nbytes)),
        cuts=cuts if len(cuts) <= MOST_CUTS else (),
    )


def _parts(work: int, machine: Machine) -> int:
    """How many equal parts work of a few chunks is cut into: as many as two, four or eight workers share without a rest; 1: as it is."""
    if work > machine.chunk_work * machine.workers:
        return 1
    parts = min(machine.workers, work * LEAST // machine.chunk_work)
    return 1 << parts.bit_length() - 1 if parts else 1


def _steps(passes: Passes, axes: list[_Axis], vec: _Axis | None, width: int, split: Split | None) -> Dim:
    """How many elements or vectors in a row a reduction adds up with roundings."""
    if not any(rounds(fold_of(n), n) for n in passes.reductions):
        return 0
    extents = {k: split.step if split and split.axis == k else a.extent for k, a in enumerate(axes) if a.reduced}
    return math.prod(ceil_div(d, width) if axes[k] is vec else d for k, d in extents.items())


def unrolls(group: Group) -> bool:
    """Whether the group is a window so small that it is expanded in place."""
    kind = group.nodes[0].op.lowering
    return isinstance(kind, Window) and 0 < assumed(math.prod(kind.extents(group.nodes[0]))) <= UNROLL


def _merged(group: Group, trial: Trial) -> list[_Axis]:
    out: list[_Axis] = []
    for a, d in enumerate(group.shape):
        if d == 1:
            continue
        reduced = a in group.reduced
        if out and out[-1].reduced == reduced and trial.merges(out[-1].members[-1], a):
            out[-1] = _Axis((*out[-1].members, a), out[-1].extent * d, reduced)
        else:
            out.append(_Axis((a,), d, reduced))
    if not trial.together([axis.members for axis in out]):
        return [_Axis((a,), group.shape[a], axis.reduced) for axis in out for a in axis.members]
    return out


def _vector(axes: list[_Axis], trial: Trial, machine: Machine) -> int | None:
    """The axis that loads and stores like best, inner ones rather than outer, long ones rather than short."""
    best, most = None, -math.inf
    for k, axis in enumerate(axes):
        score = trial.score(axis.members[-1])
        score += 0.5 * k - (4 if axis.assumed < machine.lanes(32) // 2 else 0)
        if score > most:
            best, most = k, score
    return best


def _width(group: Group, vec: _Axis, reduces: bool, trial: Trial, machine: Machine) -> int:
    """Lanes: several registers' worth where code is short, so that instructions overlap; no more than the axis is long.

    Not where each lane has an address of its own, or some values are of 64 bits: these take twice the registers as it is.
    """
    bits = [v.type.dtype.bits for n in group.nodes for v in (*n.inputs, *n.outputs) if v.type.dtype.bits > 8]
    lanes = machine.lanes(32) // 2 if bits and min(bits) >= 64 else machine.lanes(32)
    registers = 4 if trial.instructions < 24 and reduces else 2 if trial.instructions < 60 else 1
    if trial.spreads(vec.members[-1]):
        registers = 1
    elif bits and min(bits) < 64 <= max(bits):
        registers = max(1, registers // 2)
    width = lanes * registers
    while width > lanes and width > vec.assumed:
        width //= 2
    while width > 4 and width // 2 >= vec.assumed:
        width //= 2
    return width


def _streams_rows(group: Group, axes: list[_Axis], vec: _Axis) -> bool:
    """Whether the nest is a vector times a matrix whose rows the vectors run along."""
    node = group.nodes[0]
    if not isinstance(node.op.lowering, Contraction) or len(group.nodes) > FOLLOWERS:
        return False
    f = form_of(node)
    many = assumed(math.prod(f.m)) >= 4
    return bool(f.k) and f.zeros is None and not many and vec.assumed == assumed(math.prod(f.n)) and assumed(math.prod(f.k)) >= 64


def _row_width(width: int, vec: _Axis, lanes: int, workers: int) -> int:
    """Lanes that take up to a kilobyte of each row, so that lines are fetched from few pages at once, and leave items for every worker."""
    while width < ROW_REGISTERS * lanes and vec.assumed >= 2 * width * workers:
        width *= 2
    return width


def _kept(group: Group, passes: Passes, axes: list[_Axis], vec: _Axis | None, machine: Machine) -> tuple[tuple[int, int], ...]:
    """Dear full members that several passes need, as far as the rows fit into a quarter of the second cache."""
    if passes.count < 2 or vec is None or not vec.reduced or sum(a.reduced for a in axes) > 1:
        return ()
    makers = {v: n for n in group.nodes for v in n.outputs}
    needed = [passes.reads(k) for k in range(passes.count)]
    chosen: dict[int, int] = {}
    position = {n: i for i, n in enumerate(group.nodes)}
    for k in range(passes.count):
        stack = [n.inputs[0] for n in passes.folds(k)] + passes.writes(k)
        seen = set()
        while stack:
            v = stack.pop()
            if v in seen or v not in makers or v not in passes.full:
                continue
            seen.add(v)
            n = makers[v]
            if n.op.lowering.cost.keep:
                if position[n] in chosen:
                    continue
                if any(v in needed[later] for later in range(k + 1, passes.count)):
                    chosen[position[n]] = k
            stack.extend(n.inputs)
    budget = machine.cache_bytes[1] // 4
    out = []
    for at, k in chosen.items():
        budget -= vec.assumed * group.nodes[at].outputs[0].type.dtype.itemsize
        if budget >= 0:
            out.append((at, k))
    return tuple(out)


def _split(axes: list[_Axis], vec: _Axis | None, width: int, inner: int) -> Split:
    """Parts along the longest reduced axis, of whole vectors where these run along it."""
    long = max((a for a in axes if a.reduced), key=lambda a: a.assumed)
    rows = math.prod(a.assumed for a in axes if not a.reduced)
    if isinstance(long.extent, int):
        step = -(-long.extent // max(1, min(MOST_PARTS, rows * inner // PART)))
    else:
        step = -(-PART * long.assumed // max(1, rows * inner))
    if long is vec:
        step = -(-step // width) * width
    return Split(axes.index(long), step)
