"""Emitting: a graph in groups becomes kernels, equal ones once, and calls of them on values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingot.ir.facts import Contraction, OwnKernels, Reduction
from ingot.ir.graph import Location, Node, Value
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.loop.verify import LoopVerifyError, verify_kernel
from ingot.ir.lower.contraction import lower_contraction
from ingot.ir.lower.group import Fused, Group
from ingot.ir.lower.nest import lower_nest
from ingot.ir.lower.parametrise import parametrise
from ingot.ir.lower.special import KINDS, Special
from ingot.ir.machine import Machine
from ingot.ir.text import clean_name, node_printer
from ingot.ir.types import TensorType

__all__ = ["Call", "Repeated", "Emitted", "emit", "print_emitted", "verify_emitted"]


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A launch before addresses are known: the values behind the kernel's buffers. `body`: the kernel with its sizes still in it."""

    kernel: str
    values: tuple[Value, ...]
    params: tuple[int, ...]
    body: Kernel


@dataclass(frozen=True, eq=False, slots=True)
class Repeated:
    """The steps of a loop: its node, and its body."""

    node: Node
    body: Emitted

    @property
    def consts(self) -> tuple[Value, ...]:
        """The inputs of the body that are the same in every step."""
        graph, n_const, *_ = self.node.attrs
        return graph.inputs[:n_const]


@dataclass(frozen=True, eq=False)
class Emitted:
    """Calls in order of execution, one list for a graph and one for each body; kernels and checks are those of the whole program.

    checks[code]: message and location of what failed
    """

    fused: Fused
    calls: tuple[Call | Repeated, ...]
    kernels: dict[str, Kernel]
    checks: dict[int, tuple[str, Location | None]]


def emit(fused: Fused, machine: Machine) -> Emitted:
    """Write the kernels of every group."""
    return _Emission(machine).run(fused)


class _Emission:
    """The tables of one program: equal kernels, groups of equal form, codes of checks."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.kernels: dict[str, Kernel] = {}
        self.names: dict[object, str] = {}
        self.forms: dict[object, list] = {}
        self.checks: dict[int, tuple[str, Location | None]] = {}
        self.codes: dict[Node, int] = {}
        self.asked = 0  # how often a kernel was given the code of a check
        self.bodies: dict[int, Emitted] = {}  # by identity of the fused body

    def run(self, fused: Fused) -> Emitted:
        """The graph's own kernels come first in the table, then those of its loops."""
        calls: list[Call | Group] = []
        for g in fused.groups:
            if g.body is None:
                calls += self.calls(g)
            else:
                calls.append(g)
        done = tuple(Repeated(c.nodes[0], self.body(c.body)) if isinstance(c, Group) and c.body else c for c in calls)
        return Emitted(fused, done, self.kernels, self.checks)  # type: ignore[arg-type]

    def body(self, fused: Fused) -> Emitted:
        found = self.bodies.get(id(fused))
        if found is None:
            found = self.bodies[id(fused)] = self.run(fused)
        return found

    def calls(self, g: Group) -> list[Call]:
        """The launches of a group; a group of the same form as an earlier one takes its kernels."""
        form, leaves = form_of(g)
        found = self.forms.get(form)
        if found is None:
            number = {v: k for k, v in enumerate(leaves)}
            found = []
            asked = self.asked
            for kernel, values in self.write(g):
                name, params = self.enter(kernel, _label(g))
                found.append((name, tuple(number.get(v, v.type) for v in values), params, kernel))
            if self.asked == asked:  # the code of a check is the node's own
                self.forms[form] = found
        inner: dict[TensorType, Value] = {}  # what passes between the kernels of one group

        def value(x: int | TensorType) -> Value:
            return leaves[x] if isinstance(x, int) else inner.setdefault(x, Value(x))

        return [Call(name, tuple(map(value, values)), params, kernel) for name, values, params, kernel in found]

    def write(self, g: Group) -> list[tuple[Kernel, tuple[Value, ...]]]:
        """The kernels of a group, each with the values behind its buffers."""
        by_name: dict[str, Value] = {}
        names: dict[Value, str] = {}

        def buffer_of(v: Value) -> str | None:
            if v not in g.in_memory:
                return None
            if v not in names:
                names[v] = f"b{len(names)}"
                by_name[names[v]] = v
            return names[v]

        node = g.nodes[0]
        if isinstance(node.op.lowering, OwnKernels):
            made = KINDS[node.op.lowering.kind](Special(g.graph, node, buffer_of, self.check, self.machine))
        elif g.kind == "tiles":
            made = lower_contraction(g.graph, g, buffer_of, self.check, self.machine, by_name)
        else:
            made = [lower_nest(g.graph, g, "nest", buffer_of, self.check, self.machine)]
        return [(k, tuple(by_name[b.name] for b in k.buffers)) for k in made]

    def enter(self, kernel: Kernel, label: str) -> tuple[str, tuple[int, ...]]:
        """Enter a kernel in the table, or find its equal: the name to launch, and the parameters' values."""
        kernel, values = parametrise(kernel)
        key = (kernel.buffers, kernel.params, repr(kernel.body))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"k{len(self.kernels)}_{label}"
            kernel.name = name
            self.kernels[name] = kernel
        return name, values

    def check(self, node: Node) -> int:
        """The code of what a node checks."""
        self.asked += 1
        code = self.codes.get(node)
        if code is None:
            code = self.codes[node] = len(self.codes) + 1
            shape, axes = node.inputs[0].type.shape, node.attrs[0]
            extent = ", ".join(str(shape[a]) for a in (axes if isinstance(axes, tuple) else (axes,)) if a < len(shape))
            self.checks[code] = (f"{node.op.name}: index out of range for dimension of size {extent}", node.loc)
        return code


def _label(group: Group) -> str:
    main = [n for n in group.nodes if isinstance(n.op.lowering, (Reduction, Contraction))] or group.nodes
    return "_".join(dict.fromkeys(n.op.name for n in main[:3])).replace("reduce_", "")


def form_of(g: Group) -> tuple[object, list[Value]]:
    """What a group computes, without saying on which values; and those values, in the order the form counts them."""
    number: dict[Value, int] = {}
    leaves: list[Value] = []
    parts: list[object] = []
    producers = g.graph.producers

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
        if node is None or v in g.in_memory and v not in g.maps:
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
    parts.append((g.kind, g.shape, tuple(sorted(g.reduced)), g.split, tuple(number[v] for v in g.outputs)))
    parts.append(tuple((number[v], m) for v, m in g.maps.items()))
    parts.append(tuple((number[n.outputs[0]], m) for n, m in g.opened.items()))
    return tuple(parts), leaves


# -- text and verifier -----------------------------------------------------------------------------------------------


def print_emitted(emitted: Emitted) -> str:
    """The kernels, and the calls of each on values of the graph."""
    name = clean_name(emitted.fused.graph.name, "main")
    return "\n".join([*map(print_kernel, emitted.kernels.values()), f"calls @{name}", *_lines(emitted, "  "), ""])


def _lines(emitted: Emitted, pad: str) -> Iterator[str]:
    names, line = node_printer(emitted.fused.graph)
    between: dict[Value, str] = {}

    def name(v: Value) -> str:
        return names.get(v) or between.setdefault(v, f"{v.type} t{len(between)}")

    for c in emitted.calls:
        if isinstance(c, Repeated):
            yield pad + line(c.node)
            yield from _lines(c.body, pad + "    ")
        else:
            params = f"; {', '.join(map(str, c.params))}" if c.params else ""
            yield f"{pad}call @{c.kernel}({', '.join(map(name, c.values))}{params})"


def verify_emitted(emitted: Emitted) -> Emitted:
    """`emitted` itself, where every kernel is well formed and every call fits its kernel. LoopVerifyError says what is wrong."""
    for k in emitted.kernels.values():
        verify_kernel(k)
    _verify_calls(emitted)
    return emitted


def _verify_calls(emitted: Emitted) -> None:
    for c in emitted.calls:
        if isinstance(c, Repeated):
            _verify_calls(c.body)
            continue
        k = emitted.kernels.get(c.kernel)
        if k is None or len(k.params) != len(c.params) or [b.dtype for b in k.buffers] != [v.type.dtype for v in c.values]:
            values = ", ".join(str(v.type) for v in c.values)
            raise LoopVerifyError(f"a call of {c.kernel} on {values} with {len(c.params)} parameters does not fit the kernel")
