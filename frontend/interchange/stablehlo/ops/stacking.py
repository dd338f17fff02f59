"""Loops whose steps each write a row of a result of their own: the rows are stacked, and the result is not carried.

JAX writes what a scan gives into carried arrays, at a place that it calculates of the counter. Where a body does nothing else with such
an array, and the places are all rows of a range in order, or back, the loop is told so: carrying the array would copy it at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply
from ingot.interchange.stablehlo.folding import FOLDS
from ingot.interchange.stablehlo.module import Block, Dense, Operation, Value
from ingot.interchange.stablehlo.ops.movement import transposed
from ingot.interchange.stablehlo.rules import RULES, Call
from ingot.ir.struct import struct

__all__ = ["Rows", "placed", "stacked"]

_MOST = 5_000  # operations of a body with its calls written out
_ON_COUNTS = frozenset("add subtract multiply convert compare select minimum maximum clamp and or".split())


@struct
class Rows:
    """Where the rows of a result lie: along an axis, from `first` on; `back`: the last one first."""

    axis: int
    first: int
    back: bool


def _written_out(c: Call, block: Block, given: Sequence[Value], ops: list[Operation]) -> list[Value] | None:
    """The operations of a block on other values, those of calls in their place: what it returns. None where there are too many."""
    here = dict(zip(block.args, given))
    for o in block.ops[:-1]:
        inputs = [here.get(v, v) for v in o.inputs]
        if o.name == "call":
            made = _written_out(c, c.run.plan.module.functions[o.attrs["callee"]].body, inputs, ops)
            if made is None:
                return None
            here.update(zip(o.outputs, made))
            continue
        if len(ops) >= _MOST:
            return None
        ops.append(_again(c, o, here))
    return [here.get(v, v) for v in block.ops[-1].inputs]


def _again(c: Call, o: Operation, here: dict[Value, Value]) -> Operation:
    """An operation on other values; `here`: what stands for which."""
    inputs = tuple(here.get(v, v) for v in o.inputs)
    regions = tuple(_copied(c, r, here) for r in o.regions)
    outputs = tuple(Value(v.type) for v in o.outputs)
    for old, new in zip(o.outputs, outputs):
        number = c.run.number(old)
        if number is not None:
            c.run.numbers[new] = number
    here.update(zip(o.outputs, outputs))
    return Operation(o.name, inputs, outputs, o.attrs, regions, o.place)


def _copied(c: Call, block: Block, around: dict[Value, Value]) -> Block:
    """A region on other values of what is around it."""
    here = {**around, **{a: Value(a.type) for a in block.args}}
    ops = [_again(c, o, here) for o in block.ops]
    return Block(tuple(here[a] for a in block.args), ops)


def _reads(ops: Sequence[Operation], out: dict[Value, int]) -> None:
    for o in ops:
        for v in o.inputs:
            out[v] = out.get(v, 0) + 1
        for r in o.regions:
            _reads(r.ops, out)


def _counts(c: Call, v: Value, known: dict[Value, np.ndarray], makers: dict[Value, Operation], depth: int = 0) -> np.ndarray | None:
    """What an integer is at each step, where it is calculated of the counter alone."""
    found = known.get(v)
    if found is None:
        outside = c.run.values.get(v)
        if isinstance(outside, np.ndarray) and outside.size == 1 and outside.dtype != object:
            return outside.reshape(())
        o = makers.get(v)
        if o is None or depth > 16:
            return None
        if o.name == "constant":
            value = o.attrs.get("value")
            return value.array.reshape(()) if isinstance(value, Dense) and value.array.size == 1 else None
        if o.name not in _ON_COUNTS or any(i.type.shape != () for i in o.inputs):
            return None
        inputs = [_counts(c, i, known, makers, depth + 1) for i in o.inputs]
        if any(i is None or i.dtype.kind not in "iub" for i in inputs):
            return None
        shape = np.broadcast_shapes(*[i.shape for i in inputs])  # type: ignore[union-attr]
        attrs = {n: a for n, a in o.attrs.items() if n in RULES[o.name].attrs}
        found = FOLDS[o.name](o, *[np.broadcast_to(i, shape) for i in inputs], **attrs)  # type: ignore[arg-type]
        if found is not None:
            known[v] = found
    return found


def _rows(c: Call, o: Operation, counts: dict[Value, np.ndarray], makers: dict[Value, Operation], n: int) -> Rows | None:
    """Where an update writes its rows, if it writes rows."""
    whole, update, *starts = o.inputs
    size, part = whole.type.shape, update.type.shape
    if size is None or part is None or None in size or None in part:
        return None
    axis = None
    first, back = 0, False
    for d, v in enumerate(starts):
        at = _counts(c, v, counts, makers)
        if at is None:
            return None
        if at.ndim == 0 and at == 0 and part[d] == size[d]:
            continue
        if axis is not None or part[d] != 1 or at.shape != (n,):
            return None
        places = at.astype(np.int64)
        low = int(np.min(places))
        up = np.arange(low, low + n)
        if low < 0 or low + n > size[d] or not (np.array_equal(places, up) or np.array_equal(places, up[::-1])):  # type: ignore[operator]
            return None
        axis, first, back = d, low, n > 1 and int(places[0]) != low
    return None if axis is None else Rows(axis, first, back)


def _also_counts(c: Call, o: Operation | None, v: Value, start: Any, n: int) -> np.ndarray | None:
    """What a carry is at each step that a number is added to, from a known start."""
    if o is None or o.name != "add" or v not in o.inputs or not isinstance(start, np.ndarray) or start.size != 1 or start.dtype == object:
        return None
    by = c.run.number(o.inputs[1] if o.inputs[0] is v else o.inputs[0])
    if not isinstance(by, np.integer):
        return None
    return (start.reshape(()).astype(object) + int(by) * np.arange(n)).astype(np.int64).astype(start.dtype)


def stacked(
    c: Call, body: Block, counter: int, counts: np.ndarray, moving: Sequence[int], operand: Sequence[Any]
) -> tuple[Block, dict[int, Rows]] | None:  # fmt: skip
    """A body that returns rows in the place of arrays, and which ones; None where there are none."""
    ops: list[Operation] = []
    made = _written_out(c, body, body.args, ops)
    if made is None:
        return None
    makers = {v: o for o in ops for v in o.outputs}
    reads: dict[Value, int] = {}
    _reads(ops, reads)
    for v in made:
        reads[v] = reads.get(v, 0) + 1
    known = {body.args[counter]: counts}
    for i in moving:
        also = _also_counts(c, makers.get(made[i]), body.args[i], operand[i], len(counts))
        if also is not None:
            known[body.args[i]] = also
    found: dict[int, Rows] = {}
    gone: set[Operation] = set()
    for i in moving:
        o = makers.get(made[i])
        if o is None or o.name != "dynamic_update_slice" or o.inputs[0] is not body.args[i] or reads[made[i]] != 1:
            continue
        rows = _rows(c, o, known, makers, len(counts)) if reads[body.args[i]] == 1 else None
        if rows is not None:
            found[i] = rows
            gone.add(o)
            made[i] = o.inputs[1]
    if not found:
        return None
    ops = [o for o in ops if o not in gone]
    ops.append(Operation("return", tuple(made), (), {}, (), body.ops[-1].place))
    return Block(body.args, ops), found


def placed(whole: Tensor, rows: Tensor, how: Rows) -> Tensor:
    """An array with stacked rows in their places. Each row has extent 1 along the axis."""
    n = rows.shape[0]
    if how.back:
        rows = apply("reverse", rows, attrs=((0,),))
    rank = whole.ndim
    front = apply("reshape", rows, attrs=((n, *(d for i, d in enumerate(rows.shape[1:]) if i != how.axis)),))
    rows = transposed(front, [*range(1, how.axis + 1), 0, *range(how.axis + 1, rank)])

    def part(start: int, stop: int) -> Tensor:
        starts = tuple(start if i == how.axis else 0 for i in range(rank))
        stops = tuple(stop if i == how.axis else d for i, d in enumerate(whole.shape))
        return apply("slice", whole, attrs=(starts, stops, (1,) * rank))

    end = how.first + n
    parts = [part(0, how.first)] if how.first else []
    parts.append(rows)
    parts += [part(end, whole.shape[how.axis])] if end < whole.shape[how.axis] else []
    return parts[0] if len(parts) == 1 else apply("concatenate", *parts, attrs=(how.axis,))
