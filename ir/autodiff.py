"""Differentiation of graphs: the backward graph (VJP) and the pushforward (JVP), from the ops' own rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ingot.ir.builder import Builder, Expr
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import Op, Rule
from ingot.ir.types import TensorType

__all__ = ["Backward", "Pushforward", "vjp", "op_vjp", "jvp", "op_graph"]

Mask = tuple[bool, ...]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Pushforward:
    """The JVP of a graph.

    The inputs of `graph` are the forward inputs, then one tangent per True in `which`. Its outputs are the forward
    outputs, then the tangents of the outputs listed in `tangents`; the other outputs do not depend on `which`.
    """

    graph: Graph
    tangents: tuple[int, ...]


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
    if op.name == "call":
        return vjp(attrs[0], wrt, cts)
    return vjp(op_graph(op, attrs, tuple(in_types)), wrt, cts)


@lru_cache(maxsize=4096)
def op_graph(op: Op, attrs: tuple[Any, ...], in_types: tuple[TensorType, ...]) -> Graph:
    """The graph of one op."""
    b = Builder(op.name)
    ins = tuple(b.input(t) for t in in_types)
    return b.freeze(b.emit(op, ins, attrs))


def jvp(graph: Graph, which: Mask) -> Pushforward:
    """The pushforward of `graph`; which: for each input, whether it has a tangent. Remembered per (graph, which).

    An op without a JVP rule of its own gets it from its VJP: that is linear in the cotangent, and its transpose is the JVP.
    Raises ValueError if the mask does not fit, RuntimeError if an op on the way has no derivative yet.
    """
    if len(which) != len(graph.inputs):
        raise ValueError(f"@{graph.name} has {len(graph.inputs)} inputs, got {len(which)} tangents")
    return _jvp(graph, tuple(map(bool, which)))


# -- reverse mode ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _vjp(graph: Graph, wrt: Mask, cts: Mask) -> Backward:
    flat = _inlined(graph)
    b = Builder(f"{graph.name}_vjp")
    ins = tuple(b.input(t, f"x_{n}") for t, n in zip(flat.in_types, flat.input_names))
    outs = tuple(b.input(t, f"y{i}") for i, t in enumerate(flat.out_types))
    seeds = tuple(b.input(t, f"ct{i}") for i, t in enumerate(flat.out_types) if cts[i])

    here = dict(zip(flat.inputs, ins))  # forward value -> the same value here
    saved = {v: o for v, o in reversed(tuple(zip(flat.outputs, outs))) if v not in here}
    _replay(b, flat.nodes, here, saved)
    wanted = {v for v, w in zip(flat.inputs, wrt) if w and v.type.dtype.kind == "f"}
    cotangents = _seeded(b, flat, cts, seeds)
    _pull(b, flat.nodes, here, cotangents, _depend(flat.nodes, wanted))

    grads = tuple(i for i, v in enumerate(flat.inputs) if v in wanted and v in cotangents)
    results = tuple(cotangents[flat.inputs[i]].value for i in grads)
    return _pruned(b, ins, outs, seeds, grads, results)


def _replay(b: Builder, nodes: Iterable[Node], here: dict[Value, Value], saved: dict[Value, Value]) -> None:
    """Compute the forward values in `b`, taking those in `saved` as they are."""
    for n in nodes:
        if n.op.name == "constant":
            here[n.outputs[0]] = b.constant(n.attrs[0].array(), n.outputs[0].type.dtype)
            continue
        b.loc = n.loc
        if not all(v in saved for v in n.outputs):
            here.update(zip(n.outputs, b.emit(n.op, tuple(here[v] for v in n.inputs), n.attrs)))
        here.update((v, saved[v]) for v in n.outputs if v in saved)
    b.loc = None


def _seeded(b: Builder, graph: Graph, cts: Mask, seeds: tuple[Value, ...]) -> dict[Value, Expr]:
    """The cotangents that come in, by forward value; an output listed twice gets their sum."""
    found: dict[Value, Expr] = {}
    given = iter(seeds)
    for v, has in zip(graph.outputs, cts):
        if has:
            seed = b.expr(next(given))
            if v.type.dtype.kind == "f":
                found[v] = found[v] + seed if v in found else seed
    return found


def _depend(nodes: Iterable[Node], sources: set[Value]) -> set[Value]:
    """The floating-point values that depend on `sources` through floating-point values, sources included."""
    found = set(sources)
    for n in nodes:
        if any(v in found for v in n.inputs):
            found.update(v for v in n.outputs if v.type.dtype.kind == "f")
    return found


def _pull(b: Builder, nodes: Sequence[Node], here: dict[Value, Value], cotangents: dict[Value, Expr], active: set[Value]) -> None:
    """Carry cotangents backwards through `nodes`, along active values only."""
    for n in reversed(nodes):
        cts = [cotangents.get(v) for v in n.outputs]
        if all(c is None for c in cts) or not any(v in active for v in n.inputs):
            continue
        rule = n.op.vjp
        if isinstance(rule, Rule):
            if rule.name == "LATER":
                raise RuntimeError(f"the derivative of {n.op.name} is not implemented")
            continue
        b.loc = n.loc
        grads = rule(cts, [b.expr(here[v]) for v in n.inputs], [b.expr(here[v]) for v in n.outputs], *n.attrs)
        if len(grads) != len(n.inputs):
            raise AssertionError(f"the vjp of {n.op.name} gave {len(grads)} gradients for {len(n.inputs)} inputs")
        for v, g in zip(n.inputs, grads):
            if g is None or v not in active:
                continue
            if g.type != v.type:
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


def live_nodes(nodes: Sequence[Node], outputs: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes that `outputs` need, in order."""
    needed = set(outputs)
    kept = []
    for n in reversed(nodes):
        if any(v in needed for v in n.outputs):
            kept.append(n)
            needed.update(n.inputs)
    return tuple(reversed(kept))


def _inlined(graph: Graph) -> Graph:
    """`graph` with the nodes of called graphs in place of the calls."""
    if not any(n.op.name == "call" for n in graph.nodes):
        return graph
    b = Builder(graph.name)
    here = {v: b.input(v.type, name) for v, name in zip(graph.inputs, graph.input_names)}
    for n in graph.nodes:
        b.loc = n.loc
        args = tuple(here[v] for v in n.inputs)
        if n.op.name == "call":
            here.update(zip(n.outputs, b.call(_inlined(n.attrs[0]), args)))
        else:
            here.update(zip(n.outputs, b.emit(n.op, args, n.attrs)))
    return b.freeze(tuple(here[v] for v in graph.outputs))


# -- forward mode ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _jvp(graph: Graph, which: Mask) -> Pushforward:
    flat = _inlined(graph)
    b = Builder(f"{graph.name}_jvp")
    here = {v: b.input(v.type, n) for v, n in zip(flat.inputs, flat.input_names)}
    tangents: dict[Value, Expr] = {}
    for v, name, has in zip(flat.inputs, flat.input_names, which):
        if has:
            t = b.expr(b.input(v.type, f"d_{name}"))
            if v.type.dtype.kind == "f":
                tangents[v] = t
    for n in flat.nodes:
        _replay(b, (n,), here, {})
        given = [tangents.get(v) for v in n.inputs]
        if any(t is not None for t in given) and any(v.type.dtype.kind == "f" for v in n.outputs):
            b.loc = n.loc
            pushed = _push(n, given, [b.expr(here[v]) for v in n.inputs], [b.expr(here[v]) for v in n.outputs])
            tangents.update((v, t) for v, t in zip(n.outputs, pushed) if t is not None and v.type.dtype.kind == "f")
    b.loc = None
    listed = tuple(i for i, v in enumerate(flat.outputs) if v in tangents)
    results = (*(here[v] for v in flat.outputs), *(tangents[flat.outputs[i]].value for i in listed))
    g = b.freeze(results)
    return Pushforward(g.replace(nodes=live_nodes(g.nodes, results)), listed)


def _push(n: Node, tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr]) -> Sequence[Expr | None]:
    rule = n.op.jvp
    if not isinstance(rule, Rule):
        return rule(tangents, ins, outs, *n.attrs)
    if rule.name == "NO_GRAD":
        return [None] * len(outs)
    return _transposed(n, tangents, ins, outs)


def _transposed(n: Node, tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr]) -> Sequence[Expr | None]:
    """The JVP as the VJP of the VJP by its cotangents. The VJP is linear in them: at which point it is taken is the same."""
    wrt = tuple(t is not None for t in tangents)
    cts = tuple(y.dtype.kind == "f" for y in outs)
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


