"""From a tensor graph to a program: simplify, fuse, write kernels, give them the same names where they are equal, plan memory.

    program = lower(graph, machine)          # ir.loop.program.Program, for any backend

All that schedules know of the target is `machine` (ir/machine.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ingot.ir.facts import Contraction, Loop, OwnKernels, Reads, Reduction, View
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop.ir import Buffer, Check, For, If, Kernel, Load, Stmt, Store
from ingot.ir.loop.program import Copy, Launch, Program, Ref, Repeat, Step
from ingot.ir.lower.contraction import lower_contraction
from ingot.ir.lower.fuse import Group, fuse
from ingot.ir.lower.nest import lower_nest
from ingot.ir.lower.parametrise import parametrise
from ingot.ir.lower.plan import ALIGN, Arena
from ingot.ir.lower.products import absorb_transposes, swap_products
from ingot.ir.lower.special import KINDS, Special
from ingot.ir.machine import Machine
from ingot.ir.passes import SIMPLIFY
from ingot.ir.types import TensorType

__all__ = ["lower"]

PASSES = (*SIMPLIFY, swap_products, absorb_transposes)


def lower(graph: Graph, machine: Machine) -> Program:
    """The program of a graph whose dims are all integers. Argument slots: inputs, then outputs."""
    for p in PASSES:
        graph = p(graph)
    shared = _Shared(machine)
    _, steps, arena, aliases = _lower(graph, shared)
    return Program(
        graph.name, graph.in_types, graph.out_types, graph.scalars, shared.kernels, tuple(steps), arena, aliases, shared.checks
    )  # fmt: skip


class _Shared:
    """What all kernels of a program share: the table of equal kernels, and the codes of checks."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.kernels: dict[str, Kernel] = {}
        self.names: dict[object, str] = {}
        self.checks: dict[int, tuple] = {}
        self.codes: dict[Node, int] = {}
        self.loops = 0
        self.forms: dict[object, list] = {}
        self.asked = 0  # how often a kernel was given the code of a check

    def fresh(self) -> int:
        """The number of a loop of steps."""
        self.loops += 1
        return self.loops

    def check(self, node: Node) -> int:
        self.asked += 1
        code = self.codes.get(node)
        if code is None:
            code = self.codes[node] = len(self.codes) + 1
            axes = node.attrs[0]
            extent = ", ".join(
                str(node.inputs[0].type.shape[a]) for a in (axes if isinstance(axes, tuple) else (axes,)) if a < node.inputs[0].type.rank
            )
            self.checks[code] = (f"{node.op.name}: index out of range for dimension of size {extent}", node.loc)
        return code

    def kernel(self, kernel: Kernel, label: str) -> tuple[str, tuple[int, ...]]:
        """Enter a kernel in the table, or find its equal: the name to launch, and the parameters' values."""
        kernel, values = parametrise(kernel)
        key = (kernel.buffers, kernel.params, repr(kernel.body))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"k{len(self.kernels)}_{label}"
            kernel.name = name
            self.kernels[name] = kernel
        return name, values


def _label(group: Group) -> str:
    main = [n for n in group.nodes if isinstance(n.op.lowering, (Reduction, Contraction))] or group.nodes
    return "_".join(dict.fromkeys(n.op.name for n in main[:3])).replace("reduce_", "")


class _Launch:
    """A launch before addresses are known: buffers by value, each with a byte offset."""

    __slots__ = ("kernel", "values", "params", "body")

    def __init__(self, kernel: str, values: tuple[Value, ...], params: tuple[int, ...], body: Kernel):
        self.kernel = kernel
        self.values = values
        self.params = params
        self.body = body


def _lower(
    graph: Graph, shared: _Shared, invariant: frozenset[Value] = frozenset()
) -> tuple[list[Step], list[Step], int, dict[int, tuple[int, ...]]]:
    """Steps that only need the `invariant` inputs, then the others; the arena they use; which outputs may alias inputs.

    The body of a loop runs the first once: what they make stays where it is, beside the arena of the rest.
    """
    groups, in_memory = fuse(graph)
    # a view of the same elements in the same order is the same memory under another shape
    same: dict[Value, Value] = {}
    outputs = set(graph.outputs)
    kept: list[Group] = []
    for g in groups:
        n = g.nodes[0]
        if len(g.nodes) == 1 and isinstance(n.op.lowering, View) and n.op.lowering.reads is Reads.SAME and n.inputs[0] in in_memory:
            source, out = n.inputs[0], n.outputs[0]
            while source in same:
                source = same[source]
            if out not in outputs or (source not in outputs and source not in graph.inputs and source not in same.values()):
                same[out] = source
                continue
        kept.append(g)

    def root(v: Value) -> Value:
        while v in same:
            v = same[v]
        return v

    # steps with values for addresses
    pending: list[_Launch | tuple[Node, int]] = []
    for g in kept:
        if isinstance(g.nodes[0].op.lowering, Loop):
            pending.append((g.nodes[0], len(pending)))
            continue
        pending.extend(_launches(graph, g, in_memory, shared))

    once: set[int] = set()
    still = set(invariant)
    if invariant:
        for at, p in enumerate(pending):
            if isinstance(p, _Launch) and all(_writes(b) or root(v) in still for b, v in zip(p.body.buffers, p.values)):
                made = {root(v) for b, v in zip(p.body.buffers, p.values) if _writes(b)}
                if not made & {root(v) for v in graph.outputs} and not made & still:
                    once.add(at)
                    still |= made

    # addresses: inputs and outputs are slots, the rest lies in the arena
    where: dict[Value, Ref] = {}
    for k, v in enumerate(graph.inputs):
        where[v] = Ref(k, value=k in graph.scalars)
    copies: list[tuple[Value, int]] = []
    for k, v in enumerate(graph.outputs):
        r = root(v)
        slot = len(graph.inputs) + k
        if r in where:
            copies.append((r, slot))
        else:
            where[r] = Ref(slot)

    spans: dict[Value, list[int]] = {}
    for at, p in enumerate(pending):
        values = p.values if isinstance(p, _Launch) else (*p[0].inputs, *p[0].outputs)
        for v in values:
            r = root(v)
            if r not in where:
                spans.setdefault(r, [at, at])[1] = at
    arena = Arena()
    for v in list(spans):  # in use for the whole loop
        if spans[v][0] in once:
            where[v] = Ref(None, arena.place(0, len(pending), v.type.nbytes))
            del spans[v]
    starts: dict[int, list[Value]] = {}
    for v, (first, _) in spans.items():
        starts.setdefault(first, []).append(v)

    before: list[Step] = []
    steps: list[Step] = []
    accesses: list[tuple[int, _Launch | None, set[Value]]] = []
    for at, p in enumerate(pending):
        for v in starts.get(at, ()):
            where[v] = Ref(None, arena.place(at, spans[v][1], v.type.nbytes))
        if isinstance(p, _Launch):
            (before if at in once else steps).append(Launch(p.kernel, tuple(where[root(v)] for v in p.values), p.params))
            accesses.append((at, p, {root(v) for v in p.values}))
        else:
            steps.extend(_scan(p[0], shared, lambda v: where[root(v)], partial(arena.place, at, at), f"t{shared.fresh()}"))
            accesses.append((at, None, {root(v) for v in (*p[0].inputs, *p[0].outputs)}))
    for r, slot in copies:
        steps.append(Copy(Ref(slot), where[r], r.type.nbytes))
    return before, steps, arena.size, _aliases(graph, accesses, root, copies)


def _writes(b: Buffer) -> bool:
    return b.access != "r"


def _launches(graph: Graph, g: Group, in_memory: set[Value], shared: _Shared) -> list[_Launch]:
    """The launches of a group; a group of the same form as an earlier one takes its kernels."""
    form, leaves = _form(graph, g, in_memory)
    found = shared.forms.get(form)
    if found is None:
        number = {v: k for k, v in enumerate(leaves)}
        found = []
        codes = shared.asked
        for kernel, values in _kernels(graph, g, in_memory, shared):
            name, params = shared.kernel(kernel, _label(g))
            found.append((name, tuple(number.get(v, v.type) for v in values), params, kernel))
        if shared.asked == codes:  # the code of a check is the node's own
            shared.forms[form] = found
    inner: dict[TensorType, Value] = {}  # what passes between the kernels of one group

    def value(x: int | TensorType) -> Value:
        return leaves[x] if isinstance(x, int) else inner.setdefault(x, Value(x))

    return [_Launch(name, tuple(map(value, values)), params, kernel) for name, values, params, kernel in found]


def _form(graph: Graph, g: Group, in_memory: set[Value]) -> tuple[object, list[Value]]:
    """What a group computes, without saying on which values; and those values, in the order the form counts them."""
    number: dict[Value, int] = {}
    leaves: list[Value] = []
    parts: list[object] = []
    producers = graph.producers

    def leaf(v: Value) -> None:
        number[v] = ~len(leaves)
        leaves.append(v)
        parts.append(v.type)

    stack = list(reversed(g.outputs)) + [v for n in g.nodes for v in n.outputs]
    while stack:
        v = stack[-1]
        if v in number:
            stack.pop()
            continue
        node = producers.get(v)
        if node is None or v in in_memory and v not in g.maps:
            leaf(v)
            stack.pop()
            continue
        missing = [u for u in node.inputs if u not in number]
        if missing:
            stack.extend(missing)
            continue
        for u in node.outputs:
            number[u] = len(number)
        parts.append((node.op, node.attrs, tuple(number[u] for u in node.inputs), tuple(u.type for u in node.outputs)))
        stack.pop()
    for v in g.outputs:
        leaves.append(v)
    parts.append((g.kind, g.shape, tuple(sorted(g.reduced)), g.sealed, tuple(number[v] for v in g.outputs)))
    parts.append(tuple((number[v], m) for v, m in g.maps.items()))
    parts.append(tuple((number[n.outputs[0]], m) for n, m in g.opened.items()))
    return tuple(parts), leaves


def _kernels(graph: Graph, g: Group, in_memory: set[Value], shared: _Shared) -> list[tuple[Kernel, tuple[Value, ...]]]:
    """The kernels of a group, each with the values behind its buffers."""

    by_name: dict[str, Value] = {}
    names: dict[Value, str] = {}

    def buffer_of(v: Value) -> str | None:
        if v not in in_memory:
            return None
        if v not in names:
            names[v] = f"b{len(names)}"
            by_name[names[v]] = v
        return names[v]

    if g.kind == "special":
        node = g.nodes[0]
        assert isinstance(node.op.lowering, OwnKernels)
        made = KINDS[node.op.lowering.kind](Special(graph, node, buffer_of, shared.check, shared.machine))
    elif g.kind == "contraction":
        made = lower_contraction(graph, g, buffer_of, shared.check, shared.machine, by_name)
    else:
        made = [lower_nest(graph, g, "nest", buffer_of, shared.check, shared.machine)]
    return [(k, tuple(by_name[b.name] for b in k.buffers)) for k in made]


def _scan(node: Node, shared: _Shared, where: Callable[[Value], Ref], place: Callable[[int], int], var: str) -> list[Step]:
    """The steps of a scan: its body, lowered like any graph, repeated over slices."""
    body, n_const, n_carry, length, reverse = node.attrs
    for p in PASSES:
        body = p(body)
    before, inner, size, _ = _lower(body, shared, frozenset(body.inputs[:n_const]))
    consts, carries, xs = node.inputs[:n_const], node.inputs[n_const : n_const + n_carry], node.inputs[n_const + n_carry :]
    finals, ys = node.outputs[:n_carry], node.outputs[n_carry:]

    def along(v: Value, nbytes: int) -> Ref:
        r = where(v)
        if reverse:
            return replace(r, offset=r.offset + (length - 1) * nbytes, strides=(*r.strides, (var, -nbytes)))
        return replace(r, strides=(*r.strides, (var, nbytes)))

    sizes = [-(-v.type.nbytes // ALIGN) * ALIGN for v in finals]
    base = place(size + sum(sizes))
    fresh: list[Ref] = []
    offset = base + size
    for n in sizes:
        fresh.append(Ref(None, offset))
        offset += n
    args = [where(v) for v in consts] + [where(v) for v in finals]
    args += [along(v, b.type.nbytes) for v, b in zip(xs, body.inputs[n_const + n_carry :])]
    args += fresh + [along(v, b.type.nbytes) for v, b in zip(ys, body.outputs[n_carry:])]
    steps: list[Step] = [Copy(where(f), where(c), f.type.nbytes) for f, c in zip(finals, carries)]
    if length:
        steps += [_rebind(s, args, base) for s in before]
    inside = [_rebind(s, args, base) for s in inner]
    inside += [Copy(where(f), new, f.type.nbytes) for f, new in zip(finals, fresh)]
    steps.append(Repeat(var, length, tuple(inside)))
    return steps


def _rebind(step: Step, args: list[Ref], base: int) -> Step:
    """A step of a body, with its argument slots and its arena placed in the caller's."""

    def ref(r: Ref) -> Ref:
        if r.arg is None:
            return replace(r, offset=r.offset + base)
        to = args[r.arg]
        return replace(to, offset=to.offset + r.offset, strides=to.strides + r.strides)

    if isinstance(step, Launch):
        return Launch(step.kernel, tuple(map(ref, step.bufs)), step.params)
    if isinstance(step, Copy):
        return Copy(ref(step.dst), ref(step.src), step.nbytes)
    return Repeat(step.var, step.count, tuple(_rebind(s, args, base) for s in step.steps))


def _aliases(graph: Graph, accesses: list, root: Callable[[Value], Value], copies: list) -> dict[int, tuple[int, ...]]:
    """Which outputs may be given which inputs' own buffers.

    Safe where the input is not touched after the kernel that writes the output, that kernel reads the input only at
    the very element it writes, and no later step can fail.
    """
    copied = {slot for _, slot in copies}
    sources = {r for r, _ in copies}
    inputs = {root(v): k for k, v in enumerate(graph.inputs) if k not in graph.scalars}
    last_touch: dict[Value, int] = {}
    first_touch: dict[Value, int] = {}
    last_check = -1
    for at, launch, values in accesses:
        for v in values:
            last_touch[v] = at
            first_touch.setdefault(v, at)
        if launch is None or _has_check(launch.body.body):
            last_check = at
    launches = {at: launch for at, launch, _ in accesses}
    out: dict[int, tuple[int, ...]] = {}
    for k, v in enumerate(graph.outputs):
        r = root(v)
        if len(graph.inputs) + k in copied or r in inputs or r in sources or r not in first_touch:
            continue
        at = first_touch[r]
        launch = launches[at]
        if launch is None or at < last_check:
            continue
        legal = []
        for i, slot in inputs.items():
            if i.type != v.type or i in sources or last_touch.get(i, -1) > at:
                continue
            if last_touch.get(i, -1) < at or _same_points(launch, i, r, root):
                legal.append(slot)
        if legal:
            out[k] = tuple(legal)
    return out


def _statements(body: list[Stmt]):
    for s in body:
        yield s
        if isinstance(s, (For, If)):
            yield from _statements(s.body)


def _has_check(body: list[Stmt]) -> bool:
    return any(isinstance(s, Check) for s in _statements(body))


def _same_points(launch: _Launch, source: Value, target: Value, root: Callable[[Value], Value]) -> bool:
    if ("overlap", True) in launch.body.schedule:  # some elements are computed twice
        return False
    names = {b.name: root(v) for b, v in zip(launch.body.buffers, launch.values)}
    loads = {s.index for s in _statements(launch.body.body) if isinstance(s, Load) and names.get(s.buf) is source}
    stores = {s.index for s in _statements(launch.body.body) if isinstance(s, Store) and names.get(s.buf) is target}
    return loads == stores and len(stores) == 1
