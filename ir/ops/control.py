"""Control: `scan`, a loop whose body is a graph, and `call`, a graph used as one op. Others: branch.py.

Their rules import the transforms and the interpreter where they need them: most processes only record these ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import f32, i64
from ingot.ir.facts import Control, Foldable, Inline, OverComplex
from ingot.ir.graph import Graph, Value
from ingot.ir.op import INLINED, OPS
from ingot.ir.ops.batching import batch_size, move_dim
from ingot.ir.ops.family import declare, need_alike
from ingot.ir.ops.samples import Case, case
from ingot.ir.template import Instance
from ingot.ir.types import Dim, TensorType, tensor_type

Exprs = Sequence[Expr]

# -- scan ------------------------------------------------------------------------------------------------------------


def need_types(what: str, given: Sequence[TensorType], expected: Sequence[TensorType]) -> None:
    if len(given) != len(expected):
        raise TypeError(f"{what}: {len(expected)} expected, got {len(given)}")
    for i, (g, e) in enumerate(zip(given, expected)):
        if g.dtype is not e.dtype:
            raise TypeError(f"{what}: number {i} must be {e}, got {g}")
        need_alike(e.shape, g.shape, lambda: f"{what}: number {i} must be {e}, got {g}")  # noqa: B023


def _stacked(t: TensorType, length: Dim) -> TensorType:
    return t.with_shape((length, *t.shape))


def _scan_infer(
    types: tuple[TensorType, ...], body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool
) -> tuple[TensorType, ...]:
    first_x = n_const + n_carry
    ins, outs = body.in_types, body.out_types
    if len(ins) < first_x or len(outs) < n_carry:
        raise TypeError(f"scan: its body @{body.name} must take {first_x} consts and carries and return {n_carry} carries")
    need_types(f"scan: carries returned by @{body.name}", outs[:n_carry], ins[n_const:first_x])
    need_types("scan: inputs", types, (*ins[:first_x], *(_stacked(t, length) for t in ins[first_x:])))
    return (*outs[:n_carry], *(_stacked(t, length) for t in outs[n_carry:]))


def _scan_takes(
    types: tuple[TensorType, ...], body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool
) -> tuple[tuple[TensorType, ...], ...]:
    first_x = n_const + n_carry
    return ((*types[:first_x], *(t.with_shape(t.shape[1:]) for t in types[first_x:])),)


def _scan_ref(*args: Any) -> tuple[np.ndarray, ...]:
    from ingot.ir.interpret import run

    *arrays, body, n_const, n_carry, length, reverse = args
    consts, carries, xs = arrays[:n_const], arrays[n_const : n_const + n_carry], arrays[n_const + n_carry :]
    kept: list[list[Any]] = [[None] * length for _ in body.outputs[n_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        out = run(body, [*consts, *carries, *(x[i] for x in xs)])
        carries = out[:n_carry]
        for stack, y in zip(kept, out[n_carry:]):
            stack[i] = y
    empty = (np.empty((0, *t.shape), t.dtype.numpy) for t in body.out_types[n_carry:])
    return (*carries, *(np.stack(s) if s else e for s, e in zip(kept, empty)))


def _is_float(t: TensorType) -> bool:
    return t.dtype.kind in "fc"


def _scan_vjp(
    cts: Sequence[Expr | None], ins: Exprs, outs: Exprs, body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool
) -> list[Expr | None]:
    """A scan in the other direction, over the carries that the forward scan went through.

    One scan repeats the forward and keeps each step's incoming carries; the backward one computes the step again from
    them and applies the body's VJP. Its carries are the cotangents of the carries, and the sums of the consts' gradients.
    """
    from ingot.ir.transforms.replay import live_nodes
    from ingot.ir.transforms.vjp import vjp

    first_x = n_const + n_carry
    types = body.in_types
    y_cts = [i for i in range(n_carry, len(outs)) if cts[i] is not None]
    wrt = tuple(map(_is_float, types))
    back = vjp(body, wrt, tuple(_is_float(t) if i < n_carry else i in y_cts for i, t in enumerate(body.out_types)))

    b = Builder(f"{body.name}_step_vjp")
    floats = [i for i in range(n_const, first_x) if wrt[i]]  # carries with a cotangent
    summed = [i for i in back.grads if i < n_const]
    emitted = [i for i in back.grads if i >= first_x]
    consts = [b.input(t) for t in types[:n_const]]
    ct_carries = {i: b.input(types[i]) for i in floats}
    sums = {i: b.input(types[i]) for i in summed}
    xs = [b.input(t) for t in types[first_x:]]
    before = [b.input(t) for t in types[n_const:first_x]]
    ct_ys = [b.input(body.out_types[i]) for i in y_cts]

    step_ins = (*consts, *before, *xs)
    step_outs = b.call(body, step_ins) if back.reads_outputs else ()
    seeds = (*ct_carries.values(), *ct_ys)
    given = (*(step_ins[i] for i in back.reads_inputs), *(step_outs[i] for i in back.reads_outputs), *seeds)
    grads = dict(zip(back.grads, b.call(back.graph, given)))
    new_cts = [grads[i] if i in grads else b.expr(ct_carries[i]).full(0).value for i in floats]
    new_sums = [(b.expr(sums[i]) + b.expr(grads[i])).value for i in summed]
    results = (*new_cts, *new_sums, *(grads[i] for i in emitted))
    nodes = live_nodes(b.nodes, results)

    # hand the step only what it reads; stack only the carries that it reads
    read = {v for n in nodes for v in n.inputs} | set(results)
    carried = (*ct_carries.values(), *sums.values())
    used_carries = [n_const + i for i, v in enumerate(before) if v in read]
    stacks = dict(zip(used_carries, _carries_of(ins, body, n_const, n_carry, length, reverse, used_carries)))
    const_pairs = [(v, x) for v, x in zip(consts, ins) if v in read]
    stacked_pairs: list[tuple[Value, Expr]] = [(v, x) for v, x in zip(xs, ins[first_x:]) if v in read]
    stacked_pairs += [(before[i - n_const], stack) for i, stack in stacks.items()]
    stacked_pairs += [(v, ct) for v, ct in zip(ct_ys, (cts[i] for i in y_cts)) if v in read and ct is not None]
    step = Graph(b.name, (*(v for v, _ in const_pairs), *carried, *(v for v, _ in stacked_pairs)), nodes, results)
    start = [cts[i - n_const] if cts[i - n_const] is not None else ins[i].full(0) for i in floats] + [ins[i].full(0) for i in summed]

    grads_out: list[Expr | None] = [None] * len(ins)
    if not carried and not emitted:
        return grads_out
    final = OPS["scan"](
        *(x for _, x in const_pairs), *start, *(x for _, x in stacked_pairs),
        body=step, n_const=len(const_pairs), n_carry=len(carried), length=length, reverse=not reverse,
    )  # fmt: skip
    for i, g in zip((*floats, *summed, *emitted), final if isinstance(final, tuple) else (final,)):
        grads_out[i] = g
    return grads_out


def _carries_of(
    ins: Exprs, body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool, which: Sequence[int]
) -> tuple[Expr, ...]:
    """The carries (body inputs `which`) as they come into each step, stacked: the forward scan with other outputs."""
    from ingot.ir.transforms.replay import live_nodes

    if not which:
        return ()
    outputs = body.outputs[:n_carry] + tuple(body.inputs[i] for i in which)
    nodes = live_nodes(body.nodes, outputs)
    keeping = Graph(f"{body.name}_carries", body.inputs, nodes, outputs, input_names=body.input_names)
    out = OPS["scan"](*ins, body=keeping, n_const=n_const, n_carry=n_carry, length=length, reverse=reverse)
    return out[n_carry:]


def _scan_jvp(
    tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool
) -> list[Expr | None]:
    """One loop over the body with tangents beside its values. A carry has one if it comes in with one, or if a step gives it one."""
    from ingot.ir.transforms.jvp import jvp

    first_x, n_in = n_const + n_carry, len(ins)
    which = [t is not None for t in tangents]
    while True:  # what has a tangent keeps it: at most n_carry times
        push = jvp(body, tuple(which))
        more = [n_const + i for i in push.tangents if i < n_carry and not which[n_const + i]]
        if not more:
            break
        for i in more:
            which[i] = True
    b = Builder(f"{body.name}_step_jvp")
    values: dict[int, Value] = {}
    ways: dict[int, Value] = {}
    for start, end in ((0, n_const), (n_const, first_x), (first_x, n_in)):
        values.update((i, b.input(body.in_types[i])) for i in range(start, end))
        ways.update((i, b.input(body.in_types[i])) for i in range(start, end) if which[i])
    made = b.call(push.graph, (*(values[i] for i in range(n_in)), *(ways[i] for i in sorted(ways))))
    pushed = dict(zip(push.tangents, made[len(outs) :]))
    carried = [i for i in range(n_carry) if which[n_const + i]]
    moved = [pushed[i] if i in pushed else b.expr(ways[n_const + i]).full(0).value for i in carried]
    emitted = [i for i in push.tangents if i >= n_carry]
    step = b.freeze((*made[:n_carry], *moved, *made[n_carry : len(outs)], *(pushed[i] for i in emitted)))
    given: list[Expr] = []
    for start, end in ((0, n_const), (n_const, first_x), (first_x, n_in)):
        given += ins[start:end]
        given += [ins[i].full(0) if t is None else t for i, t in enumerate(tangents[:end]) if i >= start and which[i]]
    n_consts = n_const + sum(which[:n_const])
    out = OPS["scan"](*given, body=step, n_const=n_consts, n_carry=n_carry + len(carried), length=length, reverse=reverse)
    out = out if isinstance(out, tuple) else (out,)
    found: list[Expr | None] = [None] * len(outs)
    for k, i in enumerate(carried):
        found[i] = out[n_carry + k]
    for k, i in enumerate(emitted):
        found[i] = out[len(out) - len(emitted) + k]
    return found


def _scan_batch(
    ins: Exprs, batched: Sequence[bool], body: Graph, n_const: int, n_carry: int, length: Dim, reverse: bool
) -> tuple[list[Expr], Sequence[bool]]:
    """One loop over the batched body. A carry is batched if it comes in so, or if a step makes it so; xs and ys are stacked in front of
    the batch dim."""
    from ingot.ir.transforms.batch import batch

    first_x, size = n_const + n_carry, batch_size(ins, batched)
    carried = tuple(batched[n_const:first_x])
    none = (False,) * (len(body.outputs) - n_carry)
    while True:  # what becomes batched stays so: at most n_carry times
        step = batch(body, (*batched[:n_const], *carried, *batched[first_x:]), size, (*carried, *none))
        if step.outputs[:n_carry] == carried:
            break
        carried = step.outputs[:n_carry]
    start = [
        x.broadcast((size, *x.shape)) if now and not before else x
        for x, before, now in zip(ins[n_const:first_x], batched[n_const:first_x], carried)
    ]
    xs = [move_dim(x, 0, 1) if b else x for x, b in zip(ins[first_x:], batched[first_x:])]
    out = OPS["scan"](*ins[:n_const], *start, *xs, body=step.graph, n_const=n_const, n_carry=n_carry, length=length, reverse=reverse)
    outs = out if isinstance(out, tuple) else (out,)
    return [move_dim(y, 1, 0) if b and i >= n_carry else y for i, (y, b) in enumerate(zip(outs, step.outputs))], step.outputs


# -- call ------------------------------------------------------------------------------------------------------------


def _call_infer(types: tuple[TensorType, ...], graph: Graph) -> tuple[TensorType, ...]:
    if isinstance(graph, Instance):  # it was made for these
        return graph.out_types
    need_types(f"call: inputs of @{graph.name}", types, graph.in_types)
    return graph.out_types


def _call_ref(*args: Any) -> tuple[np.ndarray, ...]:
    from ingot.ir.interpret import run

    *arrays, graph = args
    return tuple(run(graph, arrays))


# -- samples ---------------------------------------------------------------------------------------------------------


def _rnn_body() -> Graph:
    """h' = tanh(h w + x), emits h' and counts: a float const, a float and an integer carry, two kinds of ys."""
    b = Builder("rnn")
    w, h = b.expr(b.input(tensor_type(f32, (3, 3)), "w")), b.expr(b.input(tensor_type(f32, (2, 3)), "h"))
    count, x = b.expr(b.input(tensor_type(i64, ()), "count")), b.expr(b.input(tensor_type(f32, (2, 3)), "x"))
    new = OPS["tanh"](OPS["dot"](h, w, batch=((), ()), contract=((1,), (0,))) + x)
    return b.freeze((new.value, (count + 1).value, (new * x).value, count.value))


def _product_body() -> Graph:
    """A carry that is read again through a product; no consts."""
    b = Builder("product")
    c, x = b.expr(b.input(tensor_type(f32, (2,)), "c")), b.expr(b.input(tensor_type(f32, (2,)), "x"))
    return b.freeze(((c * x + 1.0).value, c.value))


def _as_f64(graph: Graph) -> Graph:
    """`graph` with float64 for float32, for finite differences."""
    from ingot.ir.dtypes import f64

    b = Builder(graph.name)
    here = {v: b.input(v.type.with_dtype(f64) if v.type.dtype is f32 else v.type, n) for v, n in zip(graph.inputs, graph.input_names)}
    for n in graph.nodes:
        if n.op is OPS["constant"]:
            d = n.outputs[0].type.dtype
            here[n.outputs[0]] = b.constant(n.attrs[0].array(), f64 if d is f32 else d)
        else:
            here.update(zip(n.outputs, b.emit(n.op, tuple(here[v] for v in n.inputs), n.attrs)))
    return b.freeze(tuple(here[v] for v in graph.outputs))


def _scan_samples() -> list[Case]:
    rnn, prod, out = _rnn_body(), _product_body(), []
    for d, grad in (("f32", False), ("f64", True)):
        r, p = (rnn, prod) if d == "f32" else (_as_f64(rnn), _as_f64(prod))
        for n, reverse in ((4, False), (3, True), (1, False), (0, False)):
            rnn_ins = ((d, (3, 3)), (d, (2, 3)), ("i64", ()), (d, (n, 2, 3)))
            out.append(case(*rnn_ins, body=r, n_const=1, n_carry=2, length=n, reverse=reverse, grad=grad))
            out.append(case((d, (2,)), (d, (n, 2)), body=p, n_const=0, n_carry=1, length=n, reverse=reverse, grad=grad))
    return out


scan = declare(
    "scan", attrs=("body", "n_const", "n_carry", "length", "reverse"), sizes=("length",), infer=_scan_infer, ref=_scan_ref, vjp=_scan_vjp,
    jvp=_scan_jvp, batch=_scan_batch,
    doc="A loop of `length` steps: inputs are consts, carries, then xs stacked on axis 0; body(consts, carries, x slices) returns the new "
    "carries, then y slices; results are the last carries, then the ys stacked on axis 0. `reverse`: from the last slice to the first.",
    samples=_scan_samples,
    lowering=Control("loop", 1, _scan_takes), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN, can_fail=True,  # where its body can
)  # fmt: skip
call = declare(
    "call", doc="The outputs of a graph: a composite, which the first pass inlines.", attrs=("graph",), infer=_call_infer,
    ref=_call_ref, vjp=INLINED, jvp=INLINED, batch=INLINED,
    samples=lambda: [
        case((d, (2,)), (d, (2,)), graph=g, grad=d == "f64")
        for d, g in (("f32", _product_body()), ("f64", _as_f64(_product_body())))
    ],
    lowering=Inline(), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN, can_fail=True,  # where its graph can
)  # fmt: skip
