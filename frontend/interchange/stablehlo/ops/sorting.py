"""Sorting. Comparators that order by keys become sorts of the keys; any other one is asked about pairs, by a network.

A comparator orders by keys if it calculates the same of both sides and compares that, and by further keys where the first are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast
from ingot.interchange.stablehlo.module import Block, Value
from ingot.interchange.stablehlo.ops.calls import target
from ingot.interchange.stablehlo.ops.elementwise import total_order
from ingot.interchange.stablehlo.ops.indexing import along
from ingot.interchange.stablehlo.ops.regions import Expression, expressions
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes
from ingot.ir.struct import struct

__all__ = ["sorted_order"]

_FLIPPED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE"}


@struct
class _Key:
    """What a comparator calculates of one side, the first one; whether greater ones come first; whether -NaN and -0 count."""

    of: Expression
    descending: bool
    total: bool


def _side(e: Expression, side: int) -> bool:
    """Whether an expression reads arguments of one side alone."""
    return e[1] % 2 == side if e[0] == "argument" else e[0] == "constant" or all(_side(i, side) for i in e[2:])


def _mirrored(e: Expression) -> Expression:
    """The same of the other side."""
    if e[0] == "argument":
        return ("argument", e[1] ^ 1)
    return e if e[0] == "constant" else (*e[:2], *map(_mirrored, e[2:]))


def _compared(e: Expression, names: Sequence[str]) -> tuple[str, bool, Expression, Expression] | None:
    """The direction and the sides of a comparison, the first side in front."""
    if e[0] != "compare":
        return None
    attrs = dict(e[1][0])
    direction, a, b = attrs["comparison_direction"], e[2], e[3]
    if _side(a, 1) and not _side(a, 0):
        direction, a, b = _FLIPPED.get(direction, direction), b, a
    if direction not in names or not _side(a, 0) or _mirrored(a) != b:
        return None
    return direction, attrs.get("compare_type") == "TOTALORDER", a, b


def _keys(e: Expression) -> list[_Key] | None:
    """The keys by which an expression orders, first ones first; None where it does not."""
    plain = _compared(e, ("LT", "GT"))
    if plain is not None:
        return [_Key(plain[2], plain[0] == "GT", plain[1])]
    if e[0] == "select" and len(e) == 5:  # where the first are equal, by the others
        equal, more, first = e[2], e[3], e[4]
    elif e[0] == "or" and e[2][0] == "and" or e[0] == "or" and e[3][0] == "and":
        first, both = (e[2], e[3]) if e[3][0] == "and" else (e[3], e[2])
        equal, more = (both[2], both[3]) if _compared(both[2], ("EQ",)) else (both[3], both[2])
    else:
        return None
    same, keys, rest = _compared(equal, ("EQ",)), _keys(first), _keys(more)
    if same is None or keys is None or rest is None or len(keys) != 1 or keys[0].of != same[2]:
        return None
    return keys + rest


def _evaluated(c: Call, block: Block, of: Expression, inputs: Sequence[Tensor]) -> Tensor:
    """What a comparator calculates of the first side, of whole tensors."""
    if of[0] == "argument":
        return inputs[of[1] // 2]
    both = [x for x in inputs for _ in range(2)]
    trees = _trees(block)
    value = next(v for v, e in trees.items() if e == of)
    until = next(i for i, o in enumerate(block.ops) if value in o.outputs)
    last = block.ops[-1]
    part = Block(block.args, [*block.ops[: until + 1], type(last)("return", (value,), (), {}, (), last.place)])
    (out,) = c.run.lifted(part, both, c.op)
    return out


def _trees(block: Block) -> dict[Value, Expression]:
    """What each value of a block is, as a tree over its arguments."""
    out: dict[Value, Expression] = {}
    for i, o in enumerate(block.ops[:-1]):
        last = block.ops[-1]
        found = expressions(Block(block.args, [*block.ops[: i + 1], type(last)("return", o.outputs, (), {}, (), last.place)]))
        if found is not None:
            out[o.outputs[0]] = found[0]
    return out


def sorted_order(keys: Sequence[tuple[Tensor, bool, bool]], axis: int) -> Tensor:
    """Where the elements in order stood, by keys (values, whether descending, whether in total order); equal ones keep their order."""
    order: Tensor | None = None
    for values, descending, total in reversed(keys):
        if values.dtype.kind == "f" and total:
            values = total_order(values)
        elif values.dtype is dtypes.bool_:
            values = cast(values, dtypes.u8)
        if order is not None:
            values = apply("gather", values, order, attrs=(axis,))
        _, index = apply("sort", values, attrs=(axis, descending))
        order = index if order is None else apply("gather", order, index, attrs=(axis,))
    assert order is not None
    return order


@op("sort")
def sort(c: Call, *inputs: Tensor, dimension: int = -1, is_stable: bool = False) -> tuple[Tensor, ...]:
    rank = inputs[0].ndim
    axis = dimension % rank if rank else 0
    if not rank or inputs[0].shape[axis] <= 1:
        return inputs
    block = c.regions[0]
    found = expressions(block)
    keys = None if found is None or len(found) != 1 else _keys(found[0])
    if keys is None:
        return _network(c, inputs, axis)
    known = [(_evaluated(c, block, k.of, inputs), k.descending, k.total) for k in keys]
    order = sorted_order(known, axis)
    return tuple(apply("gather", x, order, attrs=(axis,)) for x in inputs)


def _network(c: Call, inputs: Sequence[Tensor], axis: int) -> tuple[Tensor, ...]:
    """Batcher's odd-even merge sort; the place where an element stood decides between equal ones."""
    n = inputs[0].shape[axis]
    if n > 1 << 14:
        raise NotImplementedError(f"sorting {n} elements by a comparator of its own kind")
    values = [*inputs, apply("broadcast", along(n, inputs[0].ndim, axis), attrs=(tuple(inputs[0].shape),))]
    spread = tuple(n if i == axis else 1 for i in range(inputs[0].ndim))
    p = 1
    while p < n:
        k = p
        while k >= 1:
            partner, first = np.arange(n), np.ones(n, bool)
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        a, b = i + j, i + j + k
                        partner[a], partner[b], first[b] = b, a, False
            values = _exchanged(c, values, axis, partner, first, spread)
            k //= 2
        p *= 2
    return tuple(values[:-1])


def _exchanged(
    c: Call, values: list[Tensor], axis: int, partner: np.ndarray, first: np.ndarray, spread: tuple[int, ...]
) -> list[Tensor]:  # fmt: skip
    """Each element, or its partner where that belongs in its place."""
    index = c.tensor(partner)
    others = [apply("index_get", v, index, attrs=((axis,),)) for v in values]
    ahead = [x for a, b in zip(values[:-1], others[:-1]) for x in (a, b)]
    behind = [x for a, b in zip(others[:-1], values[:-1]) for x in (a, b)]
    (less,), (more,) = c.over(0, ahead), c.over(0, behind)
    before = apply("logical_or", less, apply("logical_and", apply("logical_not", more), values[-1] < others[-1]))
    own = apply("eq", before, apply("reshape", c.tensor(first), attrs=(spread,)))
    alone = apply("reshape", c.tensor(partner == np.arange(len(partner))), attrs=(spread,))
    keep = apply("logical_or", own, alone)
    return [apply("select", keep, a, b) for a, b in zip(values, others)]


@target("ApproxTopK")
def approx_top_k(c: Call, inputs: Sequence[Tensor], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The exact ones: values and what is beside them, sorted by the comparator that is called."""
    name = c.op.attrs["called_computations"][0]
    found = expressions(c.run.plan.module.functions[name].body)
    keys = _keys(found[0]) if found is not None else None
    if keys is None or keys[0].of != ("argument", 0):
        raise NotImplementedError(f"the comparator @{name}")
    axis, k = int(options["reduction_dim"]), int(options["top_k"])
    values, others = (c.tensor(x, v.type) for x, v in zip(inputs[:2], c.op.inputs))
    order = sorted_order([(values, keys[0].descending, keys[0].total)], axis)
    stops = tuple(k if i == axis else n for i, n in enumerate(values.shape))
    order = apply("slice", order, attrs=((0,) * values.ndim, stops, (1,) * values.ndim))
    return apply("gather", values, order, attrs=(axis,)), apply("gather", others, order, attrs=(axis,))


@op("chlo.top_k")
def top_k(c: Call, x: Tensor, *, k: int, is_stable: bool = True) -> tuple[Tensor, Tensor]:
    """The k greatest of the last dim, equal ones in order, NaN first; and where they stood."""
    axis = x.ndim - 1
    order = sorted_order([(x, True, True)], axis)
    starts, stops = (0,) * x.ndim, (*x.shape[:-1], k)
    order = apply("slice", order, attrs=(starts, stops, (1,) * x.ndim))
    return apply("gather", x, order, attrs=(axis,)), cast(order, dtypes.i32)


@target("stablehlo.dynamic_top_k")
def dynamic_top_k(c: Call, inputs: Sequence[Any], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    k = c.known(inputs[1], "its operand 'k'").reshape(-1)[0]
    return top_k(c, c.tensor(inputs[0], c.op.inputs[0].type), k=int(k) if isinstance(k, np.integer) else k)
