"""`cond`: one of two graphs, as a value decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import bool_, f32, f64, i64
from ingot.ir.facts import Control, Foldable, OverComplex
from ingot.ir.graph import Graph, Value
from ingot.ir.op import OPS
from ingot.ir.ops.batching import batch_size
from ingot.ir.ops.control import need_types
from ingot.ir.ops.family import declare
from ingot.ir.ops.samples import Case, case
from ingot.ir.types import TensorType, tensor_type

Exprs = Sequence[Expr]


def need_flag(what: str, t: TensorType) -> None:
    """TypeError unless `t` is that of one bool."""
    if t.dtype is not bool_ or t.shape != ():
        raise TypeError(f"{what} must be bool[], got {t}")


def emitted(made: Any) -> tuple[Expr, ...]:
    """What an op gives, as a tuple."""
    return made if isinstance(made, tuple) else (made,)


def is_float(t: TensorType) -> bool:
    """Whether a value of this type has a gradient."""
    return t.dtype.kind in "fc"


def zeros(b: Builder, t: TensorType) -> Value:
    """Zeros of that type."""
    return OPS["broadcast"](b.expr(b.constant(0, t.dtype)), shape=t.shape).value


def _infer(types: tuple[TensorType, ...], true: Graph, false: Graph) -> tuple[TensorType, ...]:
    if not types:
        raise TypeError("cond: takes a predicate and operands")
    need_flag("cond: its predicate", types[0])
    for g in (true, false):
        need_types(f"cond: operands of @{g.name}", types[1:], g.in_types)
    need_types(f"cond: results of @{false.name}, beside those of @{true.name}", false.out_types, true.out_types)
    return true.out_types


def _takes(types: tuple[TensorType, ...], true: Graph, false: Graph) -> tuple[tuple[TensorType, ...], ...]:
    return types[1:], types[1:]


def _ref(pred: np.ndarray, *args: Any) -> tuple[np.ndarray, ...]:
    from ingot.ir.interpret import run

    *arrays, true, false = args
    return tuple(run(true if pred else false, arrays))


def _vjp(cts: Sequence[Expr | None], ins: Exprs, outs: Exprs, true: Graph, false: Graph) -> list[Expr | None]:
    """The VJP of the graph that was taken: another cond. A gradient that only one of them has is zero for the other."""
    from ingot.ir.transforms.vjp import vjp

    pred, *operands = ins
    wrt, has = tuple(is_float(x.type) for x in operands), tuple(ct is not None for ct in cts)
    backs = [vjp(g, wrt, has) for g in (true, false)]
    wanted = sorted({i for back in backs for i in back.grads})
    read = sorted({i for back in backs for i in back.reads_inputs})
    read_outs = sorted({i for back in backs for i in back.reads_outputs})
    seeds = [ct for ct in cts if ct is not None]
    given = [*(operands[i] for i in read), *(outs[i] for i in read_outs), *seeds]
    grads: list[Expr | None] = [None] * len(ins)
    if not wanted:
        return grads
    steps = []
    for back in backs:
        b = Builder(back.graph.name)
        values = [b.input(x.type) for x in given]
        xs, ys = dict(zip(read, values)), dict(zip(read_outs, values[len(read) :]))
        args = (*(xs[i] for i in back.reads_inputs), *(ys[i] for i in back.reads_outputs), *values[len(values) - len(seeds) :])
        made = dict(zip(back.grads, b.call(back.graph, args)))
        steps.append(b.freeze(tuple(made[i] if i in made else zeros(b, operands[i].type) for i in wanted)))
    for i, g in zip(wanted, emitted(OPS["cond"](pred, *given, true=steps[0], false=steps[1]))):
        grads[i + 1] = g
    return grads


def _jvp(tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, true: Graph, false: Graph) -> list[Expr | None]:
    from ingot.ir.transforms.jvp import jvp

    pred, *operands = ins
    ways = [t for t in tangents[1:] if t is not None]
    pushes = [jvp(g, tuple(t is not None for t in tangents[1:])) for g in (true, false)]
    moved = sorted({i for push in pushes for i in push.tangents})
    found: list[Expr | None] = [None] * len(outs)
    if not moved:
        return found
    steps = []
    for push in pushes:
        b = Builder(push.graph.name)
        made = b.call(push.graph, tuple(b.input(x.type) for x in (*operands, *ways)))
        pushed = dict(zip(push.tangents, made[len(outs) :]))
        steps.append(b.freeze(tuple(pushed[i] if i in pushed else zeros(b, outs[i].type) for i in moved)))
    for i, t in zip(moved, emitted(OPS["cond"](pred, *operands, *ways, true=steps[0], false=steps[1]))):
        found[i] = t
    return found


def _batch(ins: Exprs, batched: Sequence[bool], true: Graph, false: Graph) -> tuple[Exprs, Sequence[bool]]:
    """One branch for all samples where the predicate is one for all. Else both, of which each sample has its own; where one of them
    may fail, which it must not for samples that do not take it, the samples come one after the other."""
    from ingot.ir.transforms.batch import batch

    size = batch_size(ins, batched)
    pred, *operands = ins
    which = tuple(batched[1:])
    if not batched[0]:
        some = [batch(g, which, size) for g in (true, false)]
        wanted = tuple(map(any, zip(*(s.outputs for s in some))))
        steps = [batch(g, which, size, wanted).graph for g in (true, false)]
        return emitted(OPS["cond"](pred, *operands, true=steps[0], false=steps[1])), wanted
    every = (True,) * len(true.outputs)
    if true.may_fail or false.may_fail:
        return one_by_one("cond", (true, false), ins, batched), every
    b = pred.builder
    makes = [b.call(batch(g, which, size, every).graph, tuple(x.value for x in operands)) for g in (true, false)]
    return [pick(pred, b.expr(t), b.expr(f)) for t, f in zip(*makes)], every


def pick(flags: Expr, a: Expr, b: Expr) -> Expr:
    """For each sample, that of `a` or that of `b`, which have their batch dim first."""
    return OPS["select"](flags.reshape((*flags.shape, *(1,) * (a.rank - 1))), a, b)


def one_by_one(name: str, attrs: tuple[Any, ...], ins: Exprs, batched: Sequence[bool]) -> Exprs:
    """An op on samples, one after the other: a scan over them."""
    b = Builder(name)
    order = sorted(range(len(ins)), key=lambda i: batched[i])
    types = [x.type.with_shape(x.shape[1:]) if has else x.type for x, has in zip(ins, batched)]
    values = {i: b.input(types[i]) for i in order}
    body = b.freeze(b.emit(OPS[name], tuple(values[i] for i in range(len(ins))), attrs))
    n = len(ins) - sum(batched)
    size = batch_size(ins, batched)
    return emitted(OPS["scan"](*(ins[i] for i in order), body=body, n_const=n, n_carry=0, length=size, reverse=False))


def _branches(d: Any) -> tuple[Graph, Graph]:
    """(x sin w + 1, 2 n) and (w times the rows of x, n): floats and an integer; one reads all operands, one does not."""
    graphs = []
    for name in ("wave", "rows"):
        b = Builder(name)
        x, w = (b.expr(b.input(tensor_type(d, (2, 3)), n)) for n in "xw")
        n = b.expr(b.input(tensor_type(i64, ()), "n"))
        if name == "wave":
            graphs.append(b.freeze(((x * OPS["sin"](w) + 1.0).value, (n * 2).value)))
        else:
            graphs.append(b.freeze(((x * x).value, n.value)))
    return graphs[0], graphs[1]


def _samples() -> list[Case]:
    out = []
    for d in (f32, f64):
        true, false = _branches(d)
        for flag in (True, False):
            ins = (("bool", (), flag), (d.name, (2, 3)), (d.name, (2, 3)), ("i64", ()))
            out.append(case(*ins, true=true, false=false, grad=d is f64))
    return out


cond = declare(
    "cond", attrs=("true", "false"), infer=_infer, ref=_ref, vjp=_vjp, jvp=_jvp, batch=_batch,
    doc="What the graph `true` gives for the operands, or the graph `false`, as the predicate says. The other one does not run.",
    samples=_samples,
    lowering=Control("branch", 2, _takes), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN, can_fail=True,  # where a branch can
)  # fmt: skip
