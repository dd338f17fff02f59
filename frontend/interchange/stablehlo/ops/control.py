"""Loops, branches, calls of functions.

A loop whose steps are counted, from a known start to a known end, is a scan; any other one is a `while_loop`. What is known decides
branches while the module is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.module import Block, Operation, Value
from ingot.interchange.stablehlo.ops.stacking import Rows, placed, stacked
from ingot.interchange.stablehlo.rules import Call, dtype_of, op
from ingot.ir import dtypes
from ingot.ir.struct import struct
from ingot.runtime.recorder import here

__all__ = ["counted_loop"]

LONGEST = 1 << 20  # a loop whose counts are written down, to see where it writes


def counted_loop(step: Callable[..., Sequence[Tensor]], carries: Sequence[Tensor], n: Any) -> list[Tensor]:
    """The carries after step(k, *carries) for k = 0 … n - 1; what it gives beyond them, stacked."""
    k = len(carries)
    counts = apply("iota", attrs=(dtypes.i64, (n,), 0))
    if not k:
        return list(ingot.control.map(lambda i: tuple(step(i)), counts))

    def body(carried: tuple[Tensor, ...], i: Tensor) -> tuple[tuple[Tensor, ...], tuple]:
        made = tuple(step(i, *carried))
        return made[:k], made[k:]

    last, rows = ingot.scan(body, tuple(carries), counts)
    return [*last, *rows]


@struct
class _Counted:
    """which: the carry that counts; step: by how much; limit: where it ends, a value from around the loop or a carry that stays"""

    which: int
    step: int
    limit: Value
    inclusive: bool


def _constant(c: Call, v: Value, carry: dict[Value, Any]) -> Any:
    """The number that a value is known to be, or None."""
    if v in carry:
        v_ = carry[v]
        return v_ if isinstance(v_, np.ndarray) else None
    known = c.run.number(v)
    if known is not None:
        return known
    found = c.run.values.get(v)
    return found if isinstance(found, np.ndarray) and found.size == 1 else None


def _made_by(block: Block, v: Value) -> Operation | None:
    return next((o for o in block.ops if v in o.outputs), None)


def _counted(c: Call, cond: Block, body: Block) -> _Counted | None:
    """How a loop counts, if it counts at all."""
    test = _made_by(cond, cond.ops[-1].inputs[0])
    if test is None or test.name != "compare":
        return None
    direction = test.attrs.get("comparison_direction")
    left, right = test.inputs
    if direction in ("GT", "GE"):
        direction, left, right = {"GT": "LT", "GE": "LE"}[direction], right, left
    if direction not in ("LT", "LE") or left not in cond.args:
        return None
    which = cond.args.index(left)
    next_ = _made_by(body, body.ops[-1].inputs[which])
    if next_ is None or next_.name != "add" or body.args[which] not in next_.inputs:
        return None
    by = next_.inputs[1] if next_.inputs[0] is body.args[which] else next_.inputs[0]
    step = c.run.number(by)
    if step is None or not isinstance(step, np.integer) or step <= 0:
        return None
    if right in cond.args:
        k = cond.args.index(right)
        if body.ops[-1].inputs[k] is not body.args[k]:
            return None
    return _Counted(which, int(step), right, direction == "LE")


@op("while", raw=True)
def while_(c: Call, *operand: Any) -> Any:
    cond, body = c.regions
    if len(cond.args) != len(operand) or len(body.args) != len(operand) or len(cond.ops[-1].inputs) != 1:
        raise TypeError("its regions take other values than it does")
    counted = _counted(c, cond, body)
    if counted is not None:
        start = operand[counted.which]
        limit = _constant(c, counted.limit, dict(zip(cond.args, operand)))
        if isinstance(start, np.ndarray) and limit is not None:
            return _scanned(c, body, list(operand), counted, start.item(), np.asarray(limit).item())
    return _stepped(c, list(operand))


def _scanned(c: Call, body: Block, operand: list[Any], how: _Counted, start: Any, limit: Any) -> list[Any]:
    """A loop of a known number of steps."""
    span = limit - start + how.inclusive
    if type(span) is int and span <= 0:
        return operand
    n = -(-span // how.step)
    out = body.ops[-1].inputs
    kept = {i for i, (v, a) in enumerate(zip(out, body.args)) if v is a}
    moving = [i for i in range(len(operand)) if i not in kept and i != how.which]
    if type(n) is int and n == 1:
        return c.region(1, operand)
    of = body.args[how.which].type
    dtype = dtype_of(of)
    rows: dict[int, Rows] = {}
    if type(n) is int and n <= LONGEST:
        found = stacked(c, body, how.which, (start + how.step * np.arange(n)).astype(dtype.numpy), moving, operand)
        if found is not None:
            body, rows = found
    carried = [i for i in moving if i not in rows]

    def step(k: Tensor, *state: Tensor) -> list[Tensor]:
        count = apply("add", cast(apply("mul", k, scalar(how.step, dtypes.i64)), dtype), scalar(start, dtype))
        given = list(operand)
        given[how.which] = count
        for i, x in zip(carried, state):
            given[i] = x
        results = c.run.block(body, given)
        return [c.tensor(results[i], v.type) for i, v in ((i, body.ops[-1].inputs[i]) for i in (*carried, *rows))]

    first = [c.tensor(operand[i], body.args[i].type) for i in carried]
    if any(not isinstance(x, Tensor) for x in first):
        raise NotImplementedError("a loop that carries what is no tensor")
    done = counted_loop(step, first, n) if moving else []
    results = list(operand)
    results[how.which] = np.array(start + n * how.step, dtype.numpy if type(n) is int else object)
    for i, x in zip((*carried, *rows), done):
        results[i] = placed(c.tensor(operand[i], body.args[i].type), x, rows[i]) if i in rows else x
    return results


def _stepped(c: Call, values: list[Any]) -> list[Any]:
    """A loop whose condition decides each time: what stays the same is read from around it."""
    body = c.regions[1]
    types = [a.type for a in body.args]
    given = [c.tensor(v, t) for v, t in zip(values, types)]
    moving = [i for i, (v, a) in enumerate(zip(body.ops[-1].inputs, body.args)) if v is not a]
    if not moving or any(not isinstance(given[i], Tensor) for i in moving):
        raise NotImplementedError("a loop that changes nothing, or what is no tensor")

    def filled(moved: Sequence[Tensor]) -> list[Any]:
        out = list(given)
        for i, x in zip(moving, moved):
            out[i] = x
        return out

    def test(*moved: Tensor) -> Tensor:
        return c.tensor(c.region(0, filled(moved))[0])

    def step(*moved: Tensor) -> tuple[Tensor, ...]:
        results = c.region(1, filled(moved))
        return tuple(c.tensor(results[i], types[i]) for i in moving)

    return filled(ingot.while_loop(test, step, tuple(given[i] for i in moving)))


@op("chlo.scan", raw=True)
def scan(
    c: Call, *operands: Any, dimension: int, scan_dim_size: int | None = None, is_reverse: bool = False, is_associative: bool = False,
    operandSegmentSizes: Any = None, resultSegmentSizes: Any = None,
) -> Any:  # fmt: skip
    """Slices along a dim and what is carried give slices of results, and what is carried on. Inputs are those with a dim more than the
    region takes."""
    (body,) = c.regions
    ranks = [len(a.type.shape or ()) for a in body.args]
    if len(ranks) != len(operands):
        raise TypeError(f"its region takes {len(ranks)} values, and it has {len(operands)} operands")
    given = [c.tensor(x, v.type) for x, v in zip(operands, c.op.inputs)]
    k = next((i for i, (x, n) in enumerate(zip(given, ranks)) if x.ndim == n), len(given))
    made = len(c.types) - (len(given) - k)  # results, before what is carried
    if made < 0 or len(body.ops[-1].inputs) != len(c.types):
        raise TypeError(f"its region gives {len(body.ops[-1].inputs)} values, and it has {len(c.types)} results")
    if not k and scan_dim_size is None:
        raise TypeError("nothing says how often it steps")
    rows = tuple(ingot.moveaxis(x, dimension, 0) for x in given[:k]) or apply("iota", attrs=(dtypes.i64, (scan_dim_size,), 0))

    def step(carried: tuple[Tensor, ...], row: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        results = c.region(0, (*(row if k else ()), *carried))
        typed = [c.tensor(r, v.type) for r, v in zip(results, body.ops[-1].inputs)]
        return tuple(typed[made:]), tuple(typed[:made])

    last, out = ingot.scan(step, tuple(given[k:]), rows, reverse=is_reverse)
    return [*(ingot.moveaxis(y, 0, dimension) for y in out), *last]


@op("if", raw=True)
def if_(c: Call, pred: Any) -> Any:
    if isinstance(pred, np.ndarray) or not here.recorder.tracing:
        return c.region(0 if bool(c.known(pred, "its condition").reshape(())) else 1, ())
    return _branched(c, [apply("reshape", pred, attrs=((),))], [0, 1])


@op("case", raw=True)
def case(c: Call, index: Any) -> Any:
    n = len(c.regions)
    if isinstance(index, np.ndarray) or not here.recorder.tracing:
        i = int(c.known(index, "its index").reshape(()))
        return c.region(i if 0 <= i < n else n - 1, ())
    index = apply("reshape", index, attrs=((),))
    return _branched(c, [apply("eq", index, scalar(i, index.dtype)) for i in range(n - 1)], list(range(n)))


def _branched(c: Call, tests: list[Tensor], branches: list[int]) -> list[Any]:
    """The results of the first branch whose test holds, or the last one's."""
    types = c.types

    def results(i: int) -> list[Tensor]:
        return [c.tensor(v, t) for v, t in zip(c.region(i, ()), types)]

    def chosen(k: int) -> list[Tensor]:
        if k == len(tests):
            return results(branches[k])
        return list(ingot.cond(tests[k], lambda: tuple(results(branches[k])), lambda: tuple(chosen(k + 1))))

    return chosen(0)


@op("call", raw=True)
def call(c: Call, *operands: Any, callee: str) -> Any:
    return c.run.function(c.run.plan.module.functions[callee], operands)


@op("composite", raw=True)
def composite(
    c: Call, *inputs: Any, name: str, composite_attributes: Any = None, decomposition: str = "", version: int = 0
) -> Any:  # fmt: skip
    """An operation of chlo by its own rule, all else by what it is made of."""
    from ingot.interchange.stablehlo.rules import RULES

    if name in RULES and name.startswith("chlo."):
        return c.run.ruled(Operation(name, c.op.inputs, c.op.outputs, dict(composite_attributes or {}), (), c.op.place), list(inputs))
    if c.regions:
        return c.region(0, inputs)
    return c.run.function(c.run.plan.module.functions[decomposition], inputs)
