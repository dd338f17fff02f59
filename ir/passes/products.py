"""Products and transposes: (A B)^T is made as B^T A^T, and a product of a transposed operand names its dims instead.

Gradients of weights come like the first from the rule of `dot`, and a linear layer like the second. The sums run over k
in the same order and x*y is y*x, so no bit changes; a pass over memory is saved, and the lowering sees how operands lie.
"""

from __future__ import annotations

from ingot.ir.graph import Graph, Node, Value
from ingot.ir.ops.contraction import dot
from ingot.ir.ops.movement import transpose
from ingot.ir.passes.bodies import with_bodies

__all__ = ["absorb_transposes", "swap_products"]


@with_bodies
def swap_products(graph: Graph) -> Graph:
    """transpose(dot(a, b)) that only exchanges the free dims of a and b -> dot(b, a)."""
    users, outputs, producers = graph.users, set(graph.outputs), graph.producers
    swapped: dict[Node, Node] = {}
    dropped: set[Node] = set()
    for n in graph.nodes:
        if n.op is not transpose:
            continue
        product = producers.get(n.inputs[0])
        if product is None or product.op is not dot or n.inputs[0] in outputs or len(users[n.inputs[0]]) != 1:
            continue
        a, b = product.inputs
        (batch_a, batch_b), (contract_a, contract_b) = product.attrs
        batch = len(batch_a)
        free_a = a.type.rank - batch - len(contract_a)
        free_b = b.type.rank - batch - len(contract_b)
        exchange = (*range(batch), *range(batch + free_a, batch + free_a + free_b), *range(batch, batch + free_a))
        if n.attrs[0] == exchange:
            out = Value(n.outputs[0].type)
            swapped[n] = Node(dot, (b, a), ((batch_b, batch_a), (contract_b, contract_a)), (out,), product.loc)
            dropped.add(product)
    if not swapped:
        return graph
    env: dict[Value, Value] = {n.outputs[0]: m.outputs[0] for n, m in swapped.items()}
    nodes = []
    for n in graph.nodes:
        if n in dropped:
            continue
        n = swapped.get(n, n)
        if any(v in env for v in n.inputs):
            n = Node(n.op, tuple(env.get(v, v) for v in n.inputs), n.attrs, n.outputs, n.loc)
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes), outputs=tuple(env.get(v, v) for v in graph.outputs))


@with_bodies
def absorb_transposes(graph: Graph) -> Graph:
    """dot(transpose(a), b) -> dot(a, b) with other dims, where the free dims keep their order. The transpose stays for others."""
    producers = graph.producers
    nodes = []
    changed = False
    for n in graph.nodes:
        if n.op is dot:
            inputs = list(n.inputs)
            batch, contract = list(n.attrs[0]), list(n.attrs[1])
            for side, v in enumerate(n.inputs):
                t = producers.get(v)
                if t is None or t.op is not transpose:
                    continue
                perm = t.attrs[0]
                taken = {*batch[side], *contract[side]}
                free = [perm[d] for d in range(len(perm)) if d not in taken]
                if free == sorted(free):
                    inputs[side] = t.inputs[0]
                    batch[side] = tuple(perm[d] for d in batch[side])
                    contract[side] = tuple(perm[d] for d in contract[side])
            if inputs != list(n.inputs):
                n = Node(n.op, tuple(inputs), (tuple(batch), tuple(contract)), n.outputs, n.loc)
                changed = True
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes)) if changed else graph
