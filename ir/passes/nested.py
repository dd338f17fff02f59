"""Loops and branches: what they compute for nobody, dropped; what does not change from step to step of a scan, computed before it."""

from __future__ import annotations

from collections.abc import Sequence

from ingot.ir.facts import Control, View
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.transforms.replay import live_nodes

__all__ = ["prune_bodies", "hoist"]


def _kind(n: Node) -> str:
    return n.op.lowering.kind if isinstance(n.op.lowering, Control) else ""


@with_bodies
def prune_bodies(graph: Graph) -> Graph:
    """Drop the results of loops and branches that nobody reads, the carries that only serve themselves, and the inputs no step reads.

    Works backwards, so that loops whose results only a pruned loop read are pruned in turn.
    """
    if not any(map(_kind, graph.nodes)):
        return graph
    live = set(graph.outputs)
    nodes: list[Node] = []
    changed = False
    for n in reversed(graph.nodes):
        if _kind(n) and not live.isdisjoint(n.outputs):
            smaller = _PRUNED[_kind(n)](n, live)
            changed |= smaller is not n
            n = smaller
        if not live.isdisjoint(n.outputs):
            live.update(n.inputs)
        nodes.append(n)
    return graph.replace(nodes=tuple(reversed(nodes))) if changed else graph


def _prune_loop(n: Node, live: set[Value]) -> Node:
    body, n_const, n_carry, length, reverse = n.attrs
    first_x = n_const + n_carry
    carries = {i for i in range(n_carry) if n.outputs[i] in live}
    ys = [i for i in range(n_carry, len(n.outputs)) if n.outputs[i] in live]
    while True:  # a carry is needed where a needed result of the body reads it
        wanted = [body.outputs[i] for i in (*sorted(carries), *ys)]
        needed = _needed(body, wanted)
        more = carries | {i for i in range(n_carry) if body.inputs[n_const + i] in needed}
        if more == carries:
            break
        carries = more
    consts = [i for i in range(n_const) if body.inputs[i] in needed]
    xs = [i for i in range(first_x, len(n.inputs)) if body.inputs[i] in needed]
    kept = [*consts, *(n_const + i for i in sorted(carries)), *xs]
    out = [*sorted(carries), *ys]
    if len(kept) == len(n.inputs) and len(out) == len(n.outputs):
        return n
    attrs = (_part(body, kept, out), len(consts), len(carries), length, reverse)
    return Node(n.op, tuple(n.inputs[i] for i in kept), attrs, tuple(n.outputs[i] for i in out), n.loc)


def _prune_branch(n: Node, live: set[Value]) -> Node:
    out = [i for i, v in enumerate(n.outputs) if v in live]
    needed = [_needed(g, [g.outputs[i] for i in out]) for g in n.attrs]
    kept = [i for i in range(len(n.inputs) - 1) if any(g.inputs[i] in values for g, values in zip(n.attrs, needed))]
    if len(kept) == len(n.inputs) - 1 and len(out) == len(n.outputs):
        return n
    attrs = tuple(_part(g, kept, out) for g in n.attrs)
    return Node(n.op, (n.inputs[0], *(n.inputs[i + 1] for i in kept)), attrs, tuple(n.outputs[i] for i in out), n.loc)


def _prune_while(n: Node, live: set[Value]) -> Node:
    cond, body, n_const, bound = n.attrs
    test = _needed(cond, cond.outputs)
    carries = {i for i, v in enumerate(n.outputs) if v in live or cond.inputs[n_const + i] in test}
    while True:  # a carry is needed where a needed one reads it
        needed = _needed(body, [body.outputs[i] for i in sorted(carries)])
        more = carries | {i for i in range(len(n.outputs)) if body.inputs[n_const + i] in needed}
        if more == carries:
            break
        carries = more
    consts = [i for i in range(n_const) if body.inputs[i] in needed or cond.inputs[i] in test]
    out = sorted(carries)
    kept = [*consts, *(n_const + i for i in out)]
    if len(kept) == len(n.inputs):
        return n
    attrs = (_part(cond, kept, [0]), _part(body, kept, out), len(consts), bound)
    return Node(n.op, tuple(n.inputs[i] for i in kept), attrs, tuple(n.outputs[i] for i in out), n.loc)


def _needed(graph: Graph, wanted: Sequence[Value]) -> set[Value]:
    """The values that these are made of, themselves included."""
    return {v for m in live_nodes(graph.nodes, wanted) for v in m.inputs}.union(wanted)


def _part(graph: Graph, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
    """A graph of some of the outputs, for which these inputs are enough."""
    wanted = tuple(graph.outputs[i] for i in outputs)
    return graph.replace(
        inputs=tuple(graph.inputs[i] for i in inputs),
        input_names=tuple(graph.input_names[i] for i in inputs),
        outputs=wanted,
        nodes=live_nodes(graph.nodes, wanted),
        scalars=frozenset(new for new, old in enumerate(inputs) if old in graph.scalars),
    )


_PRUNED = {"loop": _prune_loop, "branch": _prune_branch, "while": _prune_while}


@with_bodies
def hoist(graph: Graph) -> Graph:
    """Move nodes of a scan's body that read only its consts in front of the scan; their results become consts.

    Cheap views stay, as do operations that can fail, and bodies of loops that run no step.
    """
    nodes: list[Node] = []
    for n in graph.nodes:
        if _kind(n) == "loop" and n.attr("length") != 0:
            before, n = _hoist(n)
            nodes += before
        nodes.append(n)
    return graph if len(nodes) == len(graph.nodes) else graph.replace(nodes=tuple(nodes))


def _stays(m: Node) -> bool:
    """Whether a node is cheap where it is read: the lowering computes it in the loop, and it is not worth a buffer."""
    return isinstance(m.op.lowering, View) and m.op.lowering.stays


def _hoist(n: Node) -> tuple[list[Node], Node]:
    body, n_const, n_carry, length, reverse = n.attrs
    outside = dict(zip(body.inputs[:n_const], n.inputs))  # value of the body -> the same in front of the loop
    fixed: dict[Value, Node] = {}  # values that do not change, with what makes them
    for m in body.nodes:
        if not m.may_fail and all(v in outside or v in fixed for v in m.inputs):
            fixed.update((v, m) for v in m.outputs)
    moving = [m for m in body.nodes if m.outputs[0] in fixed and not _stays(m)]
    if not moving:
        return [], n
    before: list[Node] = []

    def move(m: Node) -> None:
        """Copy m, and what it reads, in front of the loop."""
        for v in m.inputs:
            if v not in outside:
                move(fixed[v])
        if m.outputs[0] in outside:
            return
        outputs = tuple(Value(v.type) for v in m.outputs)
        before.append(Node(m.op, tuple(outside[v] for v in m.inputs), m.attrs, outputs, m.loc))
        outside.update(zip(m.outputs, outputs))

    for m in moving:
        move(m)
    gone = set(moving)
    rest = tuple(m for m in body.nodes if m not in gone)
    read = {v for m in rest for v in m.inputs} | set(body.outputs)
    new = tuple(v for m in moving for v in m.outputs if v in read)
    names = tuple(f"fixed{i}" for i in range(len(new)))
    changed = body.replace(
        inputs=body.inputs[:n_const] + new + body.inputs[n_const:],
        input_names=body.input_names[:n_const] + names + body.input_names[n_const:],
        nodes=rest,
        scalars=frozenset(i if i < n_const else i + len(new) for i in body.scalars),
    )
    inputs = n.inputs[:n_const] + tuple(outside[v] for v in new) + n.inputs[n_const:]
    return before, Node(n.op, inputs, (changed, n_const + len(new), n_carry, length, reverse), n.outputs, n.loc)
