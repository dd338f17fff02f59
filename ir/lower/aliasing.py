"""Aliasing: which outputs of a program may be given the memory of one of its inputs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from ingot.ir.graph import Value
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Check, Kernel, Load, Store
from ingot.ir.loop.walk import statements
from ingot.ir.lower.emitting import Call, Emitted
from ingot.ir.types import TensorType

__all__ = ["aliases"]


def aliases(emitted: Emitted) -> dict[int, tuple[int, ...]]:
    """Output -> the inputs whose own buffer it may be given.

    Safe where the input is not touched after the kernel that writes the output, that kernel reads the input only at
    the very element it writes and before it does, and neither that kernel nor a later call can fail (where an earlier one
    does, the program ends).
    """
    graph, root, calls = emitted.fused.graph, emitted.fused.root, emitted.calls
    first: dict[Value, int] = {}  # the calls that touch a value's memory
    last: dict[Value, int] = {}
    last_check = -1
    touches: dict[int, list[Load | Store | Check]] = {}  # what kernels do to buffers, and where they may fail, by the kernels' ids
    for at, c in enumerate(calls):
        for v in c.values if isinstance(c, Call) else (*c.node.inputs, *c.node.outputs):
            first.setdefault(root(v), at)
            last[root(v)] = at
        if not isinstance(c, Call) or any(isinstance(s, Check) for s in _touches(c.written.kernel, touches)):
            last_check = at
    outputs = [root(v) for v in graph.outputs]
    owned = {root(v) for v in graph.inputs}  # outputs that are an input, or an earlier output, are copied from it
    copied: set[int] = set()
    for k, r in enumerate(outputs):
        if r in owned:
            copied.add(k)
        owned.add(r)
    sources = {outputs[k] for k in copied}
    slots: dict[TensorType, dict[Value, int]] = {}
    for k, v in enumerate(graph.inputs):
        if k not in graph.scalars and root(v) not in sources:
            slots.setdefault(root(v).type, {})[root(v)] = k
    inputs = {t: sorted((last.get(v, -1), k, v) for v, k in of.items()) for t, of in slots.items()}  # by type: last call, slot, memory
    ends = {t: [at for at, _, _ in of] for t, of in inputs.items()}
    out: dict[int, tuple[int, ...]] = {}
    for k, r in enumerate(outputs):
        if k in copied or r in sources or r not in first:
            continue
        at = first[r]
        c = calls[at]
        if not isinstance(c, Call) or at <= last_check:
            continue
        t = graph.outputs[k].type
        if t in inputs:
            done = bisect_left(ends[t], at)
            legal = [slot for _, slot, _ in inputs[t][:done]]
            for _, slot, v in inputs[t][done : bisect_right(ends[t], at)]:
                if _same_points(c, _touches(c.written.kernel, touches), v, r, root):
                    legal.append(slot)
            if legal:
                out[k] = tuple(sorted(legal))
    return out


def _touches(kernel: Kernel, known: dict[int, list[Load | Store | Check]]) -> list[Load | Store | Check]:
    found = known.get(id(kernel))
    if found is None:
        found = known[id(kernel)] = [s for s in statements(kernel.body) if isinstance(s, (Load, Store, Check))]
    return found


def _same_points(
    call: Call, touches: list[Load | Store | Check], source: Value, target: Value, root: Callable[[Value], Value]
) -> bool:
    """Whether a kernel reads `source` only at the element of `target` that it writes in the same iteration, and before that."""
    if call.written.twice:
        return False
    names = {b.name: root(v) for b, v in zip(call.written.kernel.buffers, call.values)}
    loads: set[Index] = set()
    stores: set[Index] = set()
    for s in touches:
        if isinstance(s, Load) and names.get(s.buf) is source:
            if stores:
                return False
            loads.add(s.index)
        elif isinstance(s, Store) and names.get(s.buf) is target:
            stores.add(s.index)
    return loads == stores and len(stores) == 1
