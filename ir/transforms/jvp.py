"""Forward mode: the pushforward of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from ingot.ir.builder import Builder, Expr
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import NO_GRAD, Rule
from ingot.ir.size import remembered
from ingot.ir.struct import value_type
from ingot.ir.transforms.replay import Mask, inlined, live_nodes, replay
from ingot.ir.transforms.vjp import op_vjp, vjp

__all__ = ["Pushforward", "jvp"]


@value_type
class Pushforward:
    """The JVP of a graph.

    The inputs of `graph` are the forward inputs, then one tangent per True in `which`. Its outputs are the forward
    outputs, then the tangents of the outputs listed in `tangents`; the other outputs do not depend on `which`.
    """

    graph: Graph
    tangents: tuple[int, ...]


def jvp(graph: Graph, which: Mask) -> Pushforward:
    """The pushforward of `graph`; which: for each input, whether it has a tangent. Remembered per (graph, which).

    An op without a JVP rule of its own gets it from its VJP: that is linear in the cotangent, and its transpose is the JVP.
    Raises ValueError if the mask does not fit, RuntimeError if an op on the way has no derivative yet.
    """
    if len(which) != len(graph.inputs):
        raise ValueError(f"@{graph.name} has {len(graph.inputs)} inputs, got {len(which)} tangents")
    return _jvp(graph, tuple(map(bool, which)))


@remembered(2048)
def _jvp(graph: Graph, which: Mask) -> Pushforward:
    flat = inlined(graph)
    b = Builder(f"{graph.name}_jvp")
    here = {v: b.input(v.type, n) for v, n in zip(flat.inputs, flat.input_names)}
    tangents: dict[Value, Expr] = {}
    for v, name, has in zip(flat.inputs, flat.input_names, which):
        if has:
            t = b.expr(b.input(v.type, f"d_{name}"))
            if v.type.dtype.kind in "fc":
                tangents[v] = t
    for n in flat.nodes:
        replay(b, (n,), here, {})
        given = [tangents.get(v) for v in n.inputs]
        if any(t is not None for t in given) and any(v.type.dtype.kind in "fc" for v in n.outputs):
            b.loc = n.loc
            pushed = _push(n, given, [b.expr(here[v]) for v in n.inputs], [b.expr(here[v]) for v in n.outputs])
            tangents.update((v, t) for v, t in zip(n.outputs, pushed) if t is not None and v.type.dtype.kind in "fc")
    b.loc = None
    listed = tuple(i for i, v in enumerate(flat.outputs) if v in tangents)
    results = (*(here[v] for v in flat.outputs), *(tangents[flat.outputs[i]].value for i in listed))
    g = b.freeze(results)
    return Pushforward(g.replace(nodes=live_nodes(g.nodes, results)), listed)


def _push(n: Node, tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr]) -> Sequence[Expr | None]:
    rule = n.op.jvp
    if not isinstance(rule, Rule):
        return rule(tangents, ins, outs, *n.attrs)
    if rule is NO_GRAD:
        return [None] * len(outs)
    return _transposed(n, tangents, ins, outs)


def _transposed(n: Node, tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr]) -> Sequence[Expr | None]:
    """The JVP as the VJP of the VJP by its cotangents. The VJP is linear in them: at which point it is taken is the same."""
    wrt = tuple(t is not None for t in tangents)
    cts = tuple(y.dtype.kind in "fc" for y in outs)
    back = op_vjp(n.op, n.attrs, tuple(x.type for x in ins), wrt, cts)
    seeds = [i for i, c in enumerate(cts) if c]
    fixed = len(back.reads_inputs) + len(back.reads_outputs)
    again = vjp(back.graph, (False,) * fixed + (True,) * len(seeds), (True,) * len(back.grads))
    b = ins[0].builder
    args = [ins[i].value for i in back.reads_inputs] + [outs[i].value for i in back.reads_outputs] + [outs[i].full(0).value for i in seeds]
    made = b.call(back.graph, tuple(args)) if again.reads_outputs else ()
    given = [args[i] for i in again.reads_inputs] + [made[i] for i in again.reads_outputs]
    given += [t.value for t in (tangents[i] for i in back.grads) if t is not None]
    pushed = b.call(again.graph, tuple(given))
    result: list[Expr | None] = [None] * len(outs)
    for i, v in zip(again.grads, pushed):
        result[seeds[i - fixed]] = b.expr(v)
    return result
