"""`while_loop`: steps of a graph, until another one says that it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import f32, f64, i64
from ingot.ir.facts import Control, Foldable, OverComplex
from ingot.ir.graph import Graph, Value
from ingot.ir.op import OPS
from ingot.ir.ops.batching import batch_size
from ingot.ir.ops.branch import emitted, is_float, need_flag, one_by_one, pick
from ingot.ir.ops.control import need_types
from ingot.ir.ops.family import declare
from ingot.ir.ops.samples import Case, case, ints
from ingot.ir.types import TensorType, tensor_type

Exprs = Sequence[Expr]


def _infer(types: tuple[TensorType, ...], cond: Graph, body: Graph, n_const: int, bound: int | None) -> tuple[TensorType, ...]:
    for g in (cond, body):
        need_types(f"while_loop: consts and carries of @{g.name}", types, g.in_types)
    if len(cond.outputs) != 1:
        raise TypeError(f"while_loop: @{cond.name} must return one bool[], got {len(cond.outputs)} results")
    need_flag(f"while_loop: what @{cond.name} returns", cond.out_types[0])
    need_types(f"while_loop: carries returned by @{body.name}", body.out_types, types[n_const:])
    return types[n_const:]


def _takes(types: tuple[TensorType, ...], *attrs: Any) -> tuple[tuple[TensorType, ...], ...]:
    return types, types


def _ref(*args: Any) -> tuple[np.ndarray, ...]:
    from ingot.ir.interpret import run

    *arrays, cond, body, n_const, _ = args
    consts, carries = arrays[:n_const], arrays[n_const:]
    while run(cond, [*consts, *carries])[0]:
        carries = run(body, [*consts, *carries])
    return tuple(carries)


def _vjp(
    cts: Sequence[Expr | None], ins: Exprs, outs: Exprs, cond: Graph, body: Graph, n_const: int, bound: int | None
) -> list[Expr | None]:
    """That of `bound` steps of a scan, each of which does nothing once the loop has ended. RuntimeError where there is no bound."""
    from ingot.ir.transforms.vjp import op_vjp

    if bound is None:
        raise RuntimeError(
            "while_loop: its gradient needs the carries of all its steps, and how many there are is not known before it runs: give a "
            "bound, ingot.while_loop(..., max_steps=n), use ingot.scan, or forward mode (ingot.func.jvp)"
        )
    types = tuple(x.type for x in ins)
    step = _guarded(cond, body, n_const)
    wrt, has = tuple(map(is_float, types)), tuple(ct is not None for ct in cts)
    back = op_vjp(OPS["scan"], (step, n_const, len(outs), bound, False), types, wrt, has)
    b = ins[0].builder
    given = [*(ins[i] for i in back.reads_inputs), *(outs[i] for i in back.reads_outputs), *(ct for ct in cts if ct is not None)]
    grads: list[Expr | None] = [None] * len(ins)
    for i, g in zip(back.grads, b.call(back.graph, tuple(x.value for x in given))):
        grads[i] = b.expr(g)
    return grads


def _guarded(cond: Graph, body: Graph, n_const: int) -> Graph:
    """A step that does nothing where `cond` says that it is enough."""
    b = Builder(body.name)
    values = tuple(b.input(t, n) for t, n in zip(body.in_types, body.input_names))
    stays = Graph("stays", body.inputs, (), body.inputs[n_const:], input_names=body.input_names)
    flag = b.call(cond, values)
    return b.freeze(b.emit(OPS["cond"], (*flag, *values), (body, stays)))


def _jvp(
    tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, cond: Graph, body: Graph, n_const: int, bound: int | None
) -> list[Expr | None]:
    """One loop over the body with tangents beside its values. A carry has one if it comes in with one, or if a step gives it one."""
    from ingot.ir.transforms.jvp import jvp

    n = len(ins)
    which = [t is not None and is_float(x.type) for t, x in zip(tangents, ins)]
    while True:  # what has a tangent keeps it: at most as often as there are carries
        push = jvp(body, tuple(which))
        more = [n_const + i for i in push.tangents if not which[n_const + i]]
        if not more:
            break
        for i in more:
            which[i] = True
    with_consts = [i for i in range(n_const) if which[i]]
    with_carries = [i for i in range(n_const, n) if which[i]]
    order = [*range(n_const), *(n + i for i in with_consts), *range(n_const, n), *(n + i for i in with_carries)]  # n + i: tangents
    step, test = Builder(f"{body.name}_jvp"), Builder(cond.name)
    values = {i: step.input(ins[i % n].type) for i in order}
    made = step.call(push.graph, (*(values[i] for i in range(n)), *(values[n + i] for i in (*with_consts, *with_carries))))
    pushed = dict(zip(push.tangents, made[len(outs) :]))
    moved = (pushed[i - n_const] if i - n_const in pushed else step.expr(values[n + i]).full(0).value for i in with_carries)
    new = step.freeze((*made[: len(outs)], *moved))
    tested = {i: test.input(ins[i % n].type) for i in order}
    again = test.freeze(test.call(cond, tuple(tested[i] for i in range(n))))

    def given(i: int) -> Expr:
        t = tangents[i - n] if i >= n else ins[i]
        return ins[i - n].full(0) if t is None else t

    out = emitted(OPS["while_loop"](*map(given, order), cond=again, body=new, n_const=n_const + len(with_consts), bound=bound))
    found: list[Expr | None] = [None] * len(outs)
    for i, t in zip(with_carries, out[len(outs) :]):
        found[i - n_const] = t
    return found


def _batch(
    ins: Exprs, batched: Sequence[bool], cond: Graph, body: Graph, n_const: int, bound: int | None
) -> tuple[Exprs, Sequence[bool]]:
    """One loop over the batched body, while a sample goes on; those that have ended stay as they are. Where a step may fail, which it
    must not for samples that have ended, the samples come one after the other."""
    from ingot.ir.transforms.batch import batch

    size = batch_size(ins, batched)
    consts, carried = tuple(batched[:n_const]), tuple(batched[n_const:])
    while True:  # what becomes batched stays so: at most as often as there are carries
        step = batch(body, (*consts, *carried), size, carried)
        if step.outputs == carried:
            break
        carried = step.outputs
    test = batch(cond, (*consts, *carried), size)
    apart = test.outputs[0]
    if apart:
        if cond.may_fail or body.may_fail:
            return one_by_one("while_loop", (cond, body, n_const, bound), ins, batched), (True,) * len(carried)
        carried = (True,) * len(carried)
        step, test = _apart(cond, body, (*consts, *carried), size)
    start = [x.broadcast((size, *x.shape)) if now and not was else x for x, was, now in zip(ins[n_const:], batched[n_const:], carried)]
    out = OPS["while_loop"](*ins[:n_const], *start, cond=test.graph, body=step.graph, n_const=n_const, bound=bound)
    return emitted(out), carried


def _apart(cond: Graph, body: Graph, which: tuple[bool, ...], size: Any) -> tuple[Any, Any]:
    """Body and condition for samples that end apart: the loop goes on while one of them does."""
    from ingot.ir.transforms.batch import Batched, batch

    n_const = len(which) - len(body.outputs)
    every = which[n_const:]
    step, test = batch(body, which, size, every), batch(cond, which, size, (True,))
    b, c = Builder(step.graph.name), Builder(test.graph.name)
    values = tuple(b.input(t) for t in step.graph.in_types)
    (flags,) = b.call(test.graph, values)
    made = b.call(step.graph, values)
    new = tuple(pick(b.expr(flags), b.expr(y), b.expr(x)).value for x, y in zip(values[n_const:], made))
    (goes_on,) = c.call(test.graph, tuple(c.input(t) for t in test.graph.in_types))
    any_on: Value = OPS["reduce_or"](c.expr(goes_on), axes=(0,)).reshape(()).value
    return Batched(b.freeze(new), every), Batched(c.freeze((any_on,)), (False,))


def _graphs(d: Any) -> tuple[Graph, Graph]:
    """While steps < limit: x = sin(x w), steps + 1. Consts w and limit, carries x and steps."""
    graphs = []
    for name in ("more", "wave"):
        b = Builder(name)
        w, limit = b.expr(b.input(tensor_type(d, (3,)), "w")), b.expr(b.input(tensor_type(i64, ()), "limit"))
        x, steps = b.expr(b.input(tensor_type(d, (2, 3)), "x")), b.expr(b.input(tensor_type(i64, ()), "steps"))
        if name == "more":
            graphs.append(b.freeze((OPS["lt"](steps, limit).value,)))
        else:
            graphs.append(b.freeze((OPS["sin"](x * w).value, (steps + 1).value)))
    return graphs[0], graphs[1]


def _samples() -> list[Case]:
    out = []
    for d in (f32, f64):
        cond, body = _graphs(d)
        for limit in (ints(0, 4), 0):
            ins = ((d.name, (3,)), ("i64", (), limit), (d.name, (2, 3)), ("i64", (), 0))
            out.append(case(*ins, cond=cond, body=body, n_const=2, bound=4, grad=d is f64))
    return out


while_loop = declare(
    "while_loop", attrs=("cond", "body", "n_const", "bound"), infer=_infer, ref=_ref, vjp=_vjp, jvp=_jvp, batch=_batch,
    doc="carries = body(consts, carries) while cond(consts, carries): the last carries. The first n_const inputs are consts. `bound`: at "
    "most so many steps, which cond itself makes sure of; None where nobody knows. Its gradient needs one.",
    samples=_samples,
    lowering=Control("while", 2, _takes), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN, can_fail=True,  # where a step can
)  # fmt: skip
