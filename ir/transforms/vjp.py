"""Reverse mode: the backward graph of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ingot.ir.builder import Builder, Expr, op_graph
from ingot.ir.facts import Inline, OverComplex
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import LATER, OPS, Op, Rule
from ingot.ir.size import ShapeError, remembered
from ingot.ir.struct import value_type
from ingot.ir.transforms.replay import Mask, inlined, live_nodes, replay
from ingot.ir.types import TensorType

__all__ = ["Backward", "vjp", "op_vjp"]


@value_type
class Backward:
    """The VJP of a graph.

    The inputs of `graph` are, in order: the forward inputs listed in `reads_inputs`, the forward outputs listed in
    `reads_outputs`, one cotangent per True in the `cts` it was asked for. Its outputs are the gradients of the forward
    inputs listed in `grads`; a wanted input that is not listed gets no gradient.
    """

    graph: Graph
    reads_inputs: tuple[int, ...]
    reads_outputs: tuple[int, ...]
    grads: tuple[int, ...]


def vjp(graph: Graph, wrt: Mask, cts: Mask) -> Backward:
    """The backward graph of `graph`.

    wrt: for each input, whether its gradient is wanted. cts: for each output, whether a cotangent comes in. Gradients
    flow through floating-point values only. Remembered per (graph, wrt, cts).

    Raises ValueError if the masks do not fit, RuntimeError if an op on the way has no derivative yet.

        back = vjp(graph, (True, False), (True,))
    """
    if len(wrt) != len(graph.inputs) or len(cts) != len(graph.outputs):
        raise ValueError(
            f"@{graph.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, got {len(wrt)} wrt and {len(cts)} cts"
        )
    return _vjp(graph, tuple(map(bool, wrt)), tuple(map(bool, cts)))


def op_vjp(op: Op, attrs: tuple[Any, ...], in_types: Sequence[TensorType], wrt: Mask, cts: Mask) -> Backward:
    """`vjp` of the graph that holds this one op. What its rule computes of the forward is computed again in the backward
    graph. For `call` it is the VJP of the called graph itself."""
    if isinstance(op.lowering, Inline):
        return vjp(attrs[0], wrt, cts)
    return vjp(op_graph(op, attrs, tuple(in_types)), wrt, cts)


@remembered(2048)
def _vjp(graph: Graph, wrt: Mask, cts: Mask) -> Backward:
    flat = inlined(graph)
    b = Builder(f"{graph.name}_vjp")
    ins = tuple(b.input(t, f"x_{n}") for t, n in zip(flat.in_types, flat.input_names))
    outs = tuple(b.input(t, f"y{i}") for i, t in enumerate(flat.out_types))
    seeds = tuple(b.input(t, f"ct{i}") for i, t in enumerate(flat.out_types) if cts[i])

    here = dict(zip(flat.inputs, ins))  # forward value -> the same value here
    saved = {v: o for v, o in reversed(tuple(zip(flat.outputs, outs))) if v not in here}
    replay(b, flat.nodes, here, saved)
    wanted = {v for v, w in zip(flat.inputs, wrt) if w and v.type.dtype.kind in "fc"}
    cotangents = _seeded(b, flat, cts, seeds)
    _pull(b, flat.nodes, here, cotangents, _depend(flat.nodes, wanted))

    grads = tuple(i for i, v in enumerate(flat.inputs) if v in wanted and v in cotangents)
    results = tuple(cotangents[flat.inputs[i]].value for i in grads)
    return _pruned(b, ins, outs, seeds, grads, results)


def _seeded(b: Builder, graph: Graph, cts: Mask, seeds: tuple[Value, ...]) -> dict[Value, Expr]:
    """The cotangents that come in, by forward value; an output listed twice gets their sum."""
    found: dict[Value, Expr] = {}
    given = iter(seeds)
    for v, has in zip(graph.outputs, cts):
        if has:
            seed = b.expr(next(given))
            if v.type.dtype.kind in "fc":
                found[v] = found[v] + seed if v in found else seed
    return found


def _depend(nodes: Iterable[Node], sources: set[Value]) -> set[Value]:
    """The floating-point values that depend on `sources` through floating-point values, sources included."""
    found = set(sources)
    for n in nodes:
        if any(v in found for v in n.inputs):
            found.update(v for v in n.outputs if v.type.dtype.kind in "fc")
    return found


def _pull(b: Builder, nodes: Sequence[Node], here: dict[Value, Value], cotangents: dict[Value, Expr], active: set[Value]) -> None:
    """Carry cotangents backwards through `nodes`, along active values only."""
    for n in reversed(nodes):
        cts = [cotangents.get(v) for v in n.outputs]
        if all(c is None for c in cts) or not any(v in active for v in n.inputs):
            continue
        rule = n.op.vjp
        if isinstance(rule, Rule):
            if rule is LATER:
                raise RuntimeError(f"the derivative of {n.op.name} is not implemented")
            continue
        b.loc = n.loc
        ins, outs = [b.expr(here[v]) for v in n.inputs], [b.expr(here[v]) for v in n.outputs]
        conjugate = n.op.over_complex is OverComplex.CONJUGATE and outs[0].dtype.kind == "c"
        if conjugate:  # a gradient is multiplied by the conjugate of what a tangent is multiplied by
            cts = [None if c is None else OPS["conj"](c) for c in cts]
        grads = rule(cts, ins, outs, *n.attrs)
        if conjugate:
            grads = [None if g is None else OPS["conj"](g) for g in grads]
        if len(grads) != len(n.inputs):
            raise AssertionError(f"the vjp of {n.op.name} gave {len(grads)} gradients for {len(n.inputs)} inputs")
        for v, g in zip(n.inputs, grads):
            if g is None or v not in active:
                continue
            if g.type != v.type:
                if g.type.symbolic or v.type.symbolic:  # equal for the sizes at hand, by a relation that says no symbol
                    raise ShapeError(f"{n.op.name}: whether {g.type} is {v.type} is known only at run time")
                raise AssertionError(f"the vjp of {n.op.name} gave {g.type} for an input {v.type}")
            cotangents[v] = cotangents[v] + g if v in cotangents else g
    b.loc = None


def _pruned(
    b: Builder, ins: Sequence[Value], outs: Sequence[Value], seeds: tuple[Value, ...], grads: tuple[int, ...], results: tuple[Value, ...]
) -> Backward:
    """Drop nodes and inputs that no result needs; cotangents stay inputs."""
    nodes = live_nodes(b.nodes, results)
    read = {v for n in nodes for v in n.inputs} | set(results)
    reads_inputs = tuple(i for i, v in enumerate(ins) if v in read)
    reads_outputs = tuple(i for i, v in enumerate(outs) if v in read)
    inputs = (*(ins[i] for i in reads_inputs), *(outs[i] for i in reads_outputs), *seeds)
    names = dict(zip(b.inputs, b.input_names))
    graph = Graph(b.name, inputs, nodes, results, input_names=tuple(names[v] for v in inputs))
    return Backward(graph, reads_inputs, reads_outputs, grads)
