"""Scans as gradients have them: one that is gone through twice, and sums that are carried along.

The gradient of a scan goes through it again, for the carries that come into each step; and the gradient of its weights is a sum over
all steps, each of which would read and write all of it for the products of a few rows.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ingot.ir.dtypes import f32, f64
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.ops.contraction import dot
from ingot.ir.ops.control import scan
from ingot.ir.ops.elementwise import add
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.passes.cse import cse
from ingot.ir.size import at_most

__all__ = ["merge_scans", "sum_behind"]


@with_bodies
def merge_scans(graph: Graph) -> Graph:
    """Scans of the same inputs whose steps make the same carries -> one, which gives what both do."""
    first: dict[tuple[Any, ...], int] = {}  # by what they are of, where the scan of it is among the nodes
    nodes: list[Node] = []
    env: dict[Value, Value] = {}
    for n in graph.nodes:
        if any(v in env for v in n.inputs):
            n = Node(n.op, tuple(env.get(v, v) for v in n.inputs), n.attrs, n.outputs, n.loc)
        if n.op is scan:
            at = first.setdefault((n.inputs, n.attrs[1:]), len(nodes))
            both = _both(nodes[at], n) if at < len(nodes) else None
            if both is not None:
                nodes[at] = both
                env.update(zip(n.outputs[: n.attr("n_carry")], both.outputs))
                continue
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes), outputs=tuple(env.get(v, v) for v in graph.outputs)) if env else graph


def _both(m: Node, n: Node) -> Node | None:
    """The scan that gives the results of m, and then the stacks of n; None where their carries are not the same."""
    body, other, n_carry = m.attr("body"), n.attr("body"), n.attr("n_carry")
    here = dict(zip(other.inputs, body.inputs))
    copied = []
    for x in other.nodes:
        outputs = tuple(Value(v.type) for v in x.outputs)
        copied.append(Node(x.op, tuple(here[v] for v in x.inputs), x.attrs, outputs, x.loc))
        here.update(zip(x.outputs, outputs))
    outputs = (*body.outputs, *(here[v] for v in other.outputs))
    step = cse(body.replace(nodes=(*body.nodes, *copied), outputs=outputs))
    own = len(body.outputs)
    if step.outputs[:n_carry] != step.outputs[own : own + n_carry] or not n_carry:
        return None
    step = step.replace(outputs=(*step.outputs[:own], *step.outputs[own + n_carry :]))
    return Node(m.op, m.inputs, (step, *m.attrs[1:]), (*m.outputs, *n.outputs[n_carry:]), m.loc)


@with_bodies
def sum_behind(graph: Graph) -> Graph:
    """A scan with a carry c + dot(a, b) -> a scan without it, and c + dot(A, B) of stacked factors A and B.

    Where what has to be stacked for it is no larger than the carry. It changes the order in which terms are added, and no other bit.
    """
    nodes: list[Node] = []
    for n in graph.nodes:
        nodes += _behind(n) if n.op is scan else [n]
    return graph if len(nodes) == len(graph.nodes) else graph.replace(nodes=tuple(nodes))


def _behind(n: Node) -> list[Node]:
    body, n_const, n_carry, length, reverse = n.attrs
    first_x = n_const + n_carry
    found = {i: sums for i in range(n_carry) if (sums := _product(body, n_const, i)) is not None}
    if not found:
        return [n]
    stacks: dict[Value, Value] = dict(zip(body.inputs[first_x:], n.inputs[first_x:]))
    for inner, outer in zip(body.outputs[n_carry:], n.outputs[n_carry:]):
        stacks.setdefault(inner, outer)
    more: list[Value] = []  # values of the body that are stacked for a product
    taken: dict[int, Node] = {}
    for i, (_, product) in found.items():
        new = [v for v in dict.fromkeys(product.inputs) if v not in stacks]
        fixed = any(v in body.inputs[:n_const] for v in new)
        if fixed or at_most(sum(prod(v.type.shape) for v in new), prod(product.outputs[0].type.shape)) is not True:
            continue
        taken[i] = product
        more += new
        stacks.update((v, Value(v.type.with_shape((length, *v.type.shape)))) for v in new)
    if not taken:
        return [n]
    gone = {m for i in taken for m in found[i]}
    kept = [i for i in range(n_carry) if i not in taken]
    places = [*range(n_const), *(n_const + i for i in kept), *range(first_x, len(n.inputs))]
    step = Graph(
        body.name,
        tuple(body.inputs[p] for p in places),
        tuple(m for m in body.nodes if m not in gone),
        (*(body.outputs[i] for i in kept), *body.outputs[n_carry:], *more),
        input_names=tuple(body.input_names[p] for p in places),
        scalars=frozenset(new for new, old in enumerate(places) if old in body.scalars),
    )
    outputs = (*(n.outputs[i] for i in kept), *n.outputs[n_carry:], *(stacks[v] for v in more))
    nodes = [Node(n.op, tuple(n.inputs[p] for p in places), (step, n_const, len(kept), length, reverse), outputs, n.loc)]
    for i, product in taken.items():
        (batch_a, batch_b), (contract_a, contract_b) = product.attrs
        batch = tuple(d + 1 for d in batch_a), tuple(d + 1 for d in batch_b)
        contract = (0, *(d + 1 for d in contract_a)), (0, *(d + 1 for d in contract_b))
        a, b = (stacks[v] for v in product.inputs)
        total = Value(product.outputs[0].type)
        nodes.append(Node(dot, (a, b), (batch, contract), (total,), product.loc))
        nodes.append(Node(add, (n.inputs[n_const + i], total), (), (n.outputs[i],), n.loc))
    return nodes


def _product(body: Graph, n_const: int, i: int) -> tuple[Node, Node] | None:
    """The addition and the product that make a carry, where nobody else reads any of the three."""
    carry, out = body.inputs[n_const + i], body.outputs[i]
    users, outputs, plus = body.users, list(body.outputs), body.producers.get(out)
    if plus is None or plus.op is not add or carry not in plus.inputs or carry.type.dtype not in (f32, f64):
        return None
    terms = [v for v in plus.inputs if v is not carry]
    product = body.producers.get(terms[0]) if len(terms) == 1 else None
    if product is None or product.op is not dot or terms[0].type != carry.type:
        return None
    if outputs.count(out) != 1 or carry in outputs or terms[0] in outputs or users.get(out):
        return None
    return (plus, product) if len(users[carry]) == len(users[terms[0]]) == 1 else None
