"""Nodes of one graph in another: calls inlined, nodes replayed in a builder, what nobody needs left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ingot.ir.builder import Builder
from ingot.ir.facts import Inline
from ingot.ir.graph import Graph, Location, Node, Value
from ingot.ir.op import OPS

__all__ = ["Mask", "inlined", "replay", "live_nodes"]

Mask = tuple[bool, ...]  # one entry per input, or per output


def _all(graph: Graph) -> bool:
    return True


def inlined(graph: Graph, opens: Callable[[Graph], bool] = _all) -> Graph:
    """`graph` with the nodes of called graphs in place of the calls, calls within calls included. Nodes take the location of the call.

    The bodies of scans stay as they are. opens(called): whether a call is replaced.
    """
    if not any(isinstance(n.op.lowering, Inline) and opens(n.attrs[0]) for n in graph.nodes):
        return graph
    nodes: list[Node] = []
    env: dict[Value, Value] = {}
    for n in graph.nodes:
        if isinstance(n.op.lowering, Inline) and opens(n.attrs[0]):
            inputs = tuple([env.get(v, v) for v in n.inputs])
            env.update(zip(n.outputs, _expand(n.attrs[0], inputs, n.loc, nodes, opens)))
        elif any(v in env for v in n.inputs):
            nodes.append(Node(n.op, tuple([env.get(v, v) for v in n.inputs]), n.attrs, n.outputs, n.loc))
        else:
            nodes.append(n)
    return graph.replace(nodes=tuple(nodes), outputs=tuple([env.get(v, v) for v in graph.outputs]))


def _expand(
    graph: Graph, inputs: tuple[Value, ...], loc: Location | None, nodes: list[Node], opens: Callable[[Graph], bool]
) -> tuple[Value, ...]:
    """Append a fresh copy of the graph's nodes to `nodes`; its outputs there."""
    env = dict(zip(graph.inputs, inputs, strict=True))
    for n in graph.nodes:
        args = tuple([env[v] for v in n.inputs])
        if isinstance(n.op.lowering, Inline) and opens(n.attrs[0]):
            env.update(zip(n.outputs, _expand(n.attrs[0], args, loc or n.loc, nodes, opens)))
            continue
        outputs = tuple([Value(v.type) for v in n.outputs])
        nodes.append(Node(n.op, args, n.attrs, outputs, loc or n.loc))
        env.update(zip(n.outputs, outputs))
    return tuple([env[v] for v in graph.outputs])


def replay(b: Builder, nodes: Iterable[Node], here: dict[Value, Value], saved: Mapping[Value, Value]) -> None:
    """Compute the values of `nodes` again in `b`, from those in `here`, which takes them in; those in `saved` are taken as they are."""
    for n in nodes:
        if n.op is OPS["constant"]:
            here[n.outputs[0]] = b.payload(n.attrs[0])
            continue
        b.loc = n.loc
        if not all(v in saved for v in n.outputs):
            here.update(zip(n.outputs, b.emit(n.op, tuple(here[v] for v in n.inputs), n.attrs)))
        here.update((v, saved[v]) for v in n.outputs if v in saved)
    b.loc = None


def live_nodes(nodes: Sequence[Node], outputs: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes that `outputs` need, in order."""
    live = set(outputs)
    kept = []
    for n in reversed(nodes):
        if not live.isdisjoint(n.outputs):
            live.update(n.inputs)
            kept.append(n)
    return tuple(reversed(kept))
