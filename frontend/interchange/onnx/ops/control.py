"""If, Loop and Scan. What is known decides while the model is evaluated; short loops are unrolled, others are one loop where they can be.

A condition that is computed is read where the model runs step by step. While the model is compiled, both branches of an If are
computed and one is selected; a Loop with a known number of steps keeps its values once its condition is false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import apply
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import Call, NeedsValue, OnnxError, op
from ingot.interchange.onnx.values import Coded
from ingot.ir import dtypes
from ingot.runtime.recorder import here

__all__: list[str] = []

STEPS = 100_000  # of an unrolled loop
FEW = 16  # steps that are unrolled whatever they are


def _truth(c: Call, value: Any) -> bool | Tensor:
    """A condition: known, or read now, or a Tensor where a model is being compiled."""
    if isinstance(value, np.ndarray):
        return bool(value.reshape(-1)[0])
    if here.recorder.tracing:
        return value.reshape(())
    return bool(value.detach().numpy().reshape(-1)[0])


def _selected(c: Call, condition: Tensor, a: Any, b: Any) -> Any:
    if a is b:
        return a
    a, b = c.tensor(a), c.tensor(b)
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.dtype is not b.dtype or tuple(a.shape) != tuple(b.shape):
        raise NeedsValue(
            f"{c.node.text()}: its condition is computed, and its branches give {_kind(a)} and {_kind(b)}; "
            "only values of one type and shape can be chosen from in a compiled model: call it without compiling it"
        )
    return ingot.where(condition, a, b)


def _kind(x: Any) -> str:
    return f"{x.dtype.torch_name}{list(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"


@op("If", raw=True)
def if_(c: Call, cond: Any, *, then_branch: Any, else_branch: Any) -> tuple[Any, ...]:
    condition = _truth(c, cond)
    if isinstance(condition, bool):
        return tuple(c.body(then_branch if condition else else_branch, ()))
    try:
        both = c.body(then_branch, ()), c.body(else_branch, ())
    except NeedsValue:
        raise
    except OnnxError as e:  # which may be the branch that is not taken
        raise NeedsValue(f"{c.node.text()}: its condition is computed, and a branch cannot be computed for these inputs: {e}") from None
    return tuple(_selected(c, condition, a, b) for a, b in zip(*both))


def _stacked(c: Call, steps: list[Any], axis: int = 0) -> Any:
    values = [c.tensor(v) for v in steps]
    if isinstance(values[0], Coded):
        return Coded(ingot.stack([v.codes for v in values], axis), values[0].dtype)
    return ingot.stack(values, axis)


def _repeated(c: Call, n: Any, states: list[Any], rows: tuple[Any, ...], step: Callable) -> tuple[list[Any], list[Any]] | None:
    """Many steps, or a number of them that is a symbol, as one loop: the last states, and what the steps collect, stacked along dim 0.

    step(states, rows) -> states, collected. None for few steps, for states that are no tensors of one type, or that may decide sizes, and
    where a step needs to know more than a loop does: these are evaluated step by step.
    """
    if type(n) is int and (n < FEW or any(isinstance(v, np.ndarray) and v.dtype.kind in "iuO" for v in states)):
        return None
    carried = tuple(c.tensor(v) for v in states) or (ingot.zeros(()),)
    if not all(isinstance(v, Tensor) for v in carried):
        return None

    def one(carry: tuple[Tensor, ...], row: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        after, made = step(list(carry[: len(states)]), list(row))
        return tuple(map(c.tensor, after)) or carry, tuple(map(c.tensor, made))

    try:
        last, made = ingot.scan(one, carried, rows)
    except (RuntimeError, TypeError):  # what is wrong in the body itself is told again, with its step
        return None
    return list(last[: len(states)]), list(made)


@op("Loop", raw=True)
def loop(c: Call, M: Any = None, cond: Any = None, *state: Any, body: Any) -> tuple[Any, ...]:
    values = list(state)
    most = None if M is None else c.known(M, f"{c.node.text()}: input 'M'").reshape(-1)[0]
    most = int(most) if isinstance(most, np.generic) else most  # a symbolic one stays
    going: bool | Tensor = True if cond is None else _truth(c, cond)
    scans: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - len(values))]
    if M is not None and going is True:

        def counted(states: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            after, *results = c.body(body, [row[0], np.array(True), *states])
            if _truth(c, after) is not True:
                raise TypeError("it may end before")
            return results[: len(values)], results[len(values) :]

        done = _repeated(c, most, values, (apply("iota", attrs=(dtypes.i64, (most,), 0)),), counted)
        if done is not None:
            return (*done[0], *done[1])
    if isinstance(going, Tensor) and (most is None or scans):
        raise NeedsValue(f"{c.node.text()}: how often it runs is computed; call the model without compiling it")
    step = 0
    while (most is None or step < most) and going is not False:
        if step >= STEPS:
            raise OnnxError(f"{c.node.text()} runs more than {STEPS} times")
        after, *results = c.body(body, [np.array(step, np.int64), np.array(True) if going is True else going, *values])
        new = results[: len(values)]
        values = [_selected(c, going, a, b) for a, b in zip(new, values)] if isinstance(going, Tensor) else new
        for seen, value in zip(scans, results[len(new) :]):
            seen.append(value)
        truth = _truth(c, after)
        if isinstance(going, Tensor):
            going = going & (ingot.tensor(truth) if isinstance(truth, bool) else truth)
        else:
            going = truth
        if isinstance(going, Tensor) and (most is None or scans):
            raise NeedsValue(f"{c.node.text()}: how often it runs is computed; call the model without compiling it")
        step += 1
    if scans and not step:  # it has not run: one step, whose results are dropped, says what it would collect
        _, *results = c.body(body, [np.array(0, np.int64), np.array(True), *values])
        return (*values, *[_nothing(c, r) for r in results[len(values) :]])
    return (*values, *[_stacked(c, s) for s in scans])


def _nothing(c: Call, like: Any, axis: int = 0) -> Tensor:
    """No values of a kind, stacked."""
    t = c.tensor(like)
    return ingot.zeros((*t.shape[:axis], 0, *t.shape[axis:]), dtype=t.dtype)


def _scanned(
    c: Call, states: list[Any], inputs: list[Tensor], body: Any, in_axes: list[int], in_back: list[int], out_axes: list[int],
    out_back: list[int],
) -> tuple[Any, ...]:  # fmt: skip
    inputs = [c.tensor(x) for x in inputs]
    axes = [axis_of(a, x.ndim) for a, x in zip(in_axes, inputs)]
    n = inputs[0].shape[axes[0]]
    values = states

    def one(states: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        results = c.body(body, [*states, *row])
        return results[: len(states)], results[len(states) :]

    if all(isinstance(x, Tensor) for x in inputs):
        moved = [ingot.moveaxis(x, a, 0) for x, a in zip(inputs, axes)]
        done = _repeated(c, n, values, tuple(x.flip(0) if back else x for x, back in zip(moved, in_back)), one)
        if done is not None:
            made = [y.flip(0) if back else y for y, back in zip(done[1], out_back)]
            return (*done[0], *[ingot.moveaxis(y, 0, a) for y, a in zip(made, out_axes)])
    collected: list[list[Any]] = [[] for _ in range(len(body.outputs) - len(states))]
    for step in range(n):
        slices = [ingot.select(x, a, n - 1 - step if back else step) for x, a, back in zip(inputs, axes, in_back)]
        results = c.body(body, [*values, *slices])
        values = results[: len(values)]
        for seen, value in zip(collected, results[len(values) :]):
            seen.append(value)
    if not n and collected:
        slices = [ingot.zeros([d for i, d in enumerate(x.shape) if i != a], dtype=x.dtype) for x, a in zip(inputs, axes)]
        results = c.body(body, [*values, *slices])[len(values) :]
        return (*values, *[_nothing(c, r, a) for r, a in zip(results, out_axes)])
    stacked = []
    for steps, a, back in zip(collected, out_axes, out_back):
        if back:
            steps.reverse()
        stacked.append(_stacked(c, steps, a))
    return (*values, *stacked)


@op("Scan", raw=True)
def scan_batched(c: Call, lengths: Any, *rest: Any, body: Any, num_scan_inputs: int, directions: Any = None) -> tuple[Any, ...]:
    """Op set 8: every value has a batch dim in front, and is scanned along the next."""
    if lengths is not None:
        raise ValueError("scans of batches with lengths of their own")
    inputs = [c.tensor(x) for x in rest]
    k = len(inputs) - num_scan_inputs
    outs = len(body.outputs) - k
    back = list(directions or [0] * num_scan_inputs)
    rows = []
    for i in range(inputs[0].shape[0]):
        row = [x[i] for x in inputs]
        rows.append(_scanned(c, row[:k], row[k:], body, [0] * num_scan_inputs, back, [0] * outs, [0] * outs))
    return tuple(ingot.stack([c.tensor(v) for v in column], 0) for column in zip(*rows))


@op("Scan", since=9, raw=True)
def scan(
    c: Call, *rest: Any, body: Any, num_scan_inputs: int, scan_input_axes: Any = None, scan_input_directions: Any = None,
    scan_output_axes: Any = None, scan_output_directions: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    k = len(rest) - num_scan_inputs
    outs = len(body.outputs) - k
    zeros = [0] * max(num_scan_inputs, outs)
    return _scanned(
        c, list(rest[:k]), list(rest[k:]), body, scan_input_axes or zeros, scan_input_directions or zeros, scan_output_axes or zeros,
        scan_output_directions or zeros,
    )  # fmt: skip
