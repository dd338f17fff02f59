"""Running the tape backwards: gradients go from node to node, the latest node first, and their sums to the leaves.

What ran in parts, since values were needed in between, runs in parts backwards as well: the steps of a loop have the same code then,
however many there are.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from ingot.ir.op import OPS
from ingot.runtime.array import to_numpy
from ingot.runtime.recorder import here
from ingot.runtime.tape import Edge, Leaf, Node, Pair, emit, frontend

__all__ = ["anomaly", "backpropagate", "running"]

anomaly = [False]  # whether each step's gradients are checked for NaN


def backpropagate(
    roots: Sequence[tuple[Edge, Pair]], *, retain_graph: bool, create_graph: bool, targets: Sequence[Edge] | None = None,
    leaf_hooks: bool = True,
) -> list[Pair | None]:  # fmt: skip
    """Carry gradients from `roots` back to the leaves, or only to `targets`, whose gradients are returned (then no leaf changes)."""
    rec = here.recorder
    was = rec.grad_enabled
    rec.grad_enabled = create_graph
    rec.backward_depth += 1
    run = Run(roots, _needed(roots, targets))
    _runs.stack.append(run)
    try:
        return _run(roots, run.wanted, retain_graph, create_graph, targets, leaf_hooks)
    finally:
        run.over = True
        _runs.stack.pop()
        rec.backward_depth -= 1
        rec.grad_enabled = was


class Run:
    """One backward. `wanted`: the nodes that run, None for all that it reaches; `over`: it has ended."""

    def __init__(self, roots: Sequence[tuple[Edge, Pair]], wanted: set[Node] | None):
        self.roots = [e[0] for e, _ in roots]
        self.wanted = wanted
        self.over = False
        self._reached: set[Node] | None = None

    def reaches(self, node: Node) -> bool:
        """Whether a gradient comes to a node."""
        if self.wanted is not None:
            return node in self.wanted
        if self._reached is None:
            self._reached = set()
            stack = list(self.roots)
            while stack:
                n = stack.pop()
                if n not in self._reached:
                    self._reached.add(n)
                    stack += [e[0] for e in n.edges if e is not None]
        return node in self._reached


class _Runs(threading.local):
    def __init__(self) -> None:
        self.stack: list[Run] = []


_runs = _Runs()


def running() -> Run:
    """The backward that this thread is in."""
    return _runs.stack[-1]


def _run(
    roots: Sequence[tuple[Edge, Pair]], wanted: set[Node] | None, retain: bool, create: bool, targets: Sequence[Edge] | None,
    leaf_hooks: bool,
) -> list[Pair | None]:  # fmt: skip
    waiting: dict[Node, list[Pair | None]] = {}
    heap: list[tuple[int, int, Node]] = []
    arrivals = count()
    results: dict[Edge, Pair] = {}
    target_set = set(targets or ())
    target_nodes = {e[0] for e in target_set}
    rec = here.recorder
    cuts, last = list(rec.cuts), 0

    def deliver(edge: Edge, grad: Pair) -> None:
        node, i = edge
        slots = waiting.get(node)
        if slots is None:
            slots = waiting[node] = [None] * len(node.out_types)
            heapq.heappush(heap, (-node.seq, next(arrivals), node))  # leaves, whose seq is 0, in a fixed order
        held = slots[i]
        if grad[0].type.device != node.out_types[i].device:  # of a number of the host's, among operands on a GPU
            grad = here.recorder.moved(grad[0], node.out_types[i].device), None
        slots[i] = grad if held is None else emit(OPS["add"], (held, grad), (), node.loc)[0]

    for edge, grad in roots:
        if wanted is None or edge[0] in wanted:
            deliver(edge, grad)
    while heap:
        node = heapq.heappop(heap)[2]
        if cuts and 0 < node.seq < cuts[-1]:
            while cuts and node.seq < cuts[-1]:
                cut = cuts.pop()
            if cut < last:
                rec.cut()
        last = node.seq
        grads = waiting.pop(node)
        if node.pre_hooks and (leaf_hooks or not isinstance(node, Leaf)):
            for i, hook in list(node.pre_hooks.values()):
                if i < 0:
                    grads = _replaced(hook(_tensors(grads)), grads)
                    continue
                g = grads[i]
                if g is not None:
                    grads[i] = _hooked(hook, g)
        if node.retained:
            for i, slot in node.retained.items():
                if grads[i] is not None:
                    held, new = here.recorder.read_grad(slot), frontend.wrap(grads[i])  # type: ignore[arg-type]
                    here.recorder.write_grad(slot, new if held is None else held + new)
        if node in target_nodes:
            for i, g in enumerate(grads):
                if g is not None and (node, i) in target_set:
                    results[node, i] = g
            if wanted is not None and not _feeds(node, wanted):
                continue
        if targets is not None and isinstance(node, Leaf):
            continue
        node.check()
        out = node.apply(grads, create)
        if anomaly[0]:
            _check_nan(node, out)
        if node.hooks:
            out = _post_hooked(node, out, grads)
        if not retain:
            node.release()
        for e, g in zip(node.edges, out):
            if e is not None and g is not None and (wanted is None or e[0] in wanted):
                deliver(e, g)
    return [results.get(e) for e in targets or ()]


def _check_nan(node: Node, out: Sequence[Pair | None]) -> None:
    for i, p in enumerate(out):
        if p is not None and (to_numpy(p[0]) != to_numpy(p[0])).any():
            from ingot.ir.location import describe

            where = describe(node.loc)
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output." + (f"\n{where}" if where else ""))


def _feeds(node: Node, wanted: set[Node]) -> bool:
    return any(e is not None and e[0] in wanted for e in node.edges)


def _needed(roots: Sequence[tuple[Edge, Pair]], targets: Sequence[Edge] | None) -> set[Node] | None:
    """The nodes on a path from a root to a target; None for all."""
    if targets is None:
        return None
    goal = {e[0] for e in targets}
    seen: set[Node] = set()
    stack = [e[0] for e, _ in roots]
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            stack += [e[0] for e in n.edges if e is not None]
    needed: set[Node] = set()
    for n in sorted(seen, key=lambda n: n.seq):  # inputs of a node are older than the node
        if n in goal or any(e is not None and e[0] in needed for e in n.edges):
            needed.add(n)
    return needed


def _hooked(hook: Callable, grad: Pair) -> Pair:
    result = hook(frontend.wrap(grad))
    return grad if result is None else frontend.unwrap(result)


def _tensors(pairs: Sequence[Pair | None]) -> tuple:
    return tuple(None if p is None else frontend.wrap(p) for p in pairs)


def _replaced(result: Any, pairs: Any) -> Any:
    """What a hook of several gradients gives in their place; them for None."""
    if result is None:
        return pairs
    result = result if isinstance(result, tuple) else (result,)
    return [None if r is None else frontend.unwrap(r) for r in result]


def _post_hooked(node: Node, out: Sequence[Pair | None], grads: Sequence[Pair | None]) -> Sequence[Pair | None]:
    for hook in list((node.hooks or {}).values()):
        out = _replaced(hook(_tensors(out), _tensors(grads)), out)
    return out
