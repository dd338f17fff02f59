"""Loops: what a scan carries and stacks for nobody, dropped; what does not change from step to step, computed before it."""

from __future__ import annotations

from ingot.ir.facts import Loop, View
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.transforms.replay import live_nodes

__all__ = ["prune_scans", "hoist"]

@with_bodies
def prune_scans(graph: Graph) -> Graph:
    """Drop the stacked results that nobody reads, the carries that only serve themselves, and the inputs no step reads.

    Works backwards, so that loops whose results only a pruned loop read are pruned in turn.
    """
    if not any(isinstance(n.op.lowering, Loop) for n in graph.nodes):
        return graph
    live = set(graph.outputs)
    nodes: list[Node] = []
    changed = False
    for n in reversed(graph.nodes):
        if isinstance(n.op.lowering, Loop) and not live.isdisjoint(n.outputs):
            smaller = _prune(n, live)
            changed |= smaller is not n
            n = smaller
        if not live.isdisjoint(n.outputs):
            live.update(n.inputs)
        nodes.append(n)
    return graph.replace(nodes=tuple(reversed(nodes))) if changed else graph


def _prune(n: Node, live: set[Value]) -> Node:
    body, n_const, n_carry, length, reverse = n.attrs
    first_x = n_const + n_carry
    carries = {i for i in range(n_carry) if n.outputs[i] in live}
    ys = [i for i in range(n_carry, len(n.outputs)) if n.outputs[i] in live]
    while True:  # a carry is needed where a needed result of the body reads it
        wanted = [body.outputs[i] for i in (*sorted(carries), *ys)]
        inner = live_nodes(body.nodes, wanted)
        needed = {v for m in inner for v in m.inputs}.union(wanted)
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
    smaller = body.replace(
        inputs=tuple(body.inputs[i] for i in kept),
        input_names=tuple(body.input_names[i] for i in kept),
        outputs=tuple(body.outputs[i] for i in out),
        nodes=inner,
        scalars=frozenset(new for new, old in enumerate(kept) if old in body.scalars),
    )
    attrs = (smaller, len(consts), len(carries), length, reverse)
    return Node(n.op, tuple(n.inputs[i] for i in kept), attrs, tuple(n.outputs[i] for i in out), n.loc)


@with_bodies
def hoist(graph: Graph) -> Graph:
    """Move nodes of a scan's body that read only its consts in front of the scan; their results become consts.

    Cheap views stay, as do operations that can fail, and bodies of loops that run no step.
    """
    nodes: list[Node] = []
    for n in graph.nodes:
        if isinstance(n.op.lowering, Loop) and n.attr("length") != 0:
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
