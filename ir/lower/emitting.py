"""Emitting: a graph in groups becomes kernels, equal ones once, and calls of them on values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set

from ingot.ir.facts import Contraction, Elementwise, Reduction
from ingot.ir.graph import Location, Node, Value
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.text import body_text, print_kernel, renamed
from ingot.ir.lower.group import Fused, Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.parametrise import parametrise
from ingot.ir.lower.schedule import Schedule
from ingot.ir.lower.scheduling import Scheduled
from ingot.ir.lower.signature import Signature
from ingot.ir.lower.target import Target
from ingot.ir.struct import frozen, struct
from ingot.ir.text import clean_name, node_printer
from ingot.ir.types import Dim, TensorType

__all__ = ["Call", "Nested", "Emitted", "emit", "print_emitted", "verify_emitted"]


@frozen
@struct
class Call:
    """A launch before addresses are known: the values behind the kernel's buffers. `written`: the kernel with its sizes still in it."""

    kernel: str
    values: tuple[Value, ...]
    params: tuple[Dim, ...]
    written: Written


@frozen
@struct
class Nested:
    """The steps of a loop or branch: its node, and its bodies."""

    node: Node
    bodies: tuple[Emitted, ...]


@frozen
@struct
class Emitted:
    """Calls in order of execution, one list for a graph and one for each body in it; kernels and checks are those of the whole program.

    checks[code]: message and location of what failed
    """

    fused: Fused
    calls: tuple[Call | Nested, ...]
    kernels: dict[str, Kernel]
    checks: dict[int, tuple[str, Location | None]]


def emit(scheduled: Scheduled, target: Target) -> Emitted:
    """Write the kernels of every group."""
    return _Emission(target).run(scheduled)


_Between = tuple[int, TensorType]  # what passes between the kernels of one group: which, and of what type


class _Emission:
    """The tables of one program: equal kernels, groups of equal signature, codes of checks."""

    def __init__(self, target: Target):
        self.target = target
        self.symbolic = False
        self.kernels: dict[str, Kernel] = {}
        self.names: dict[object, str] = {}
        self.made: dict[object, list[tuple[str, tuple[int | _Between, ...], tuple[Dim, ...], Written]]] = {}
        self.checks: dict[int, tuple[str, Location | None]] = {}
        self.codes: dict[Node, int] = {}
        self.between: dict[object, tuple[Value, ...]] = {}  # what kernels of this graph made of which values, and nobody changes
        self.asked = 0  # how often a kernel was given the code of a check
        self.bodies: dict[int, Emitted] = {}  # by identity of the scheduled body

    def run(self, scheduled: Scheduled) -> Emitted:
        """The graph's own kernels come first in the table, then those of its bodies."""
        self.symbolic = self.symbolic or bool(scheduled.fused.graph.symbols)
        self.between.clear()
        calls: list[Call | tuple[Node, tuple[Scheduled, ...]]] = []
        for g, s, signature in zip(scheduled.fused.groups, scheduled.schedules, scheduled.signatures):
            if isinstance(s, tuple):
                calls.append((g.nodes[0], s))
            else:
                calls += self.calls(g, s, signature, scheduled.fused.checked)
        done = tuple(c if isinstance(c, Call) else Nested(c[0], tuple(map(self.body, c[1]))) for c in calls)
        return Emitted(scheduled.fused, done, self.kernels, self.checks)

    def body(self, scheduled: Scheduled) -> Emitted:
        found = self.bodies.get(id(scheduled))
        if found is None:
            found = self.bodies[id(scheduled)] = self.run(scheduled)
        return found

    def calls(self, g: Group, s: Schedule, signature: Signature, checked: Set[Node]) -> list[Call]:
        """The launches of a group; a group like an earlier one takes its kernels."""
        sure = g.nodes[0] in checked
        key = (signature.key, s, sure)
        found = self.made.get(key)
        if found is None:
            number = {v: k for k, v in enumerate(signature.values)}
            found = []
            between: dict[Value, _Between] = {}
            asked = self.asked
            for written in self.target.kind(g).emit(g, s, self.unchecked(g.nodes[0]) if sure else self.check):
                name, params = self.enter(written, _label(g))
                found.append((
                    name, tuple(number[v] if v in number else between.setdefault(v, (len(between), v.type)) for v in written.values),
                    params, written,
                ))  # fmt: skip
            if self.asked == asked:  # the code of a check is the node's own
                self.made[key] = found
        inner: dict[_Between, Value] = {}

        def value(x: int | _Between) -> Value:
            return signature.values[x] if isinstance(x, int) else inner.setdefault(x, Value(x[1]))

        out = []
        writes = Counter(x for _, values, _, written in found for x, b in zip(values, written.kernel.buffers) if b.access != "r")
        for name, values, params, written in found:
            made = tuple(x for x, b in zip(values, written.kernel.buffers) if b.access != "r")
            if all(isinstance(x, tuple) for x in made) and all(writes[x] == 1 for x in values if isinstance(x, tuple)):
                # it lies between kernels, none of which changes it: another group may have made the same
                mine, read = tuple(map(value, made)), tuple(value(x) for x in values if x not in made)
                earlier = self.between.setdefault((name, params, read), mine)
                if earlier is not mine:
                    inner.update(zip(made, earlier))  # type: ignore[arg-type]
                    continue
            out.append(Call(name, tuple(map(value, values)), params, written))
        return out

    def enter(self, written: Written, label: str) -> tuple[str, tuple[Dim, ...]]:
        """Enter a kernel in the table, or find its equal: the name to launch, and the parameters' values."""
        kernel, values = (written.kernel, ()) if written.fixed and not self.symbolic else parametrise(written.kernel, written.fixed)
        key = (kernel.buffers, kernel.params, body_text(kernel))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"k{len(self.kernels)}_{label}"
            self.kernels[name] = renamed(kernel, name)
            self.target.written(self.kernels[name])
        return name, values

    def unchecked(self, sure: Node) -> Callable[[Node], int]:
        """`check`, which gives 0 for a node whose check is known to pass."""
        return lambda node: 0 if node is sure else self.check(node)

    def check(self, node: Node) -> int:
        """The code of what a node checks."""
        self.asked += 1
        code = self.codes.get(node)
        if code is None:
            code = self.codes[node] = len(self.codes) + 1
            self.checks[code] = _failure(node), node.loc
        return code


def _failure(node: Node) -> str:
    """What is said where a check of a node fails."""
    kind = node.op.lowering
    if isinstance(kind, Elementwise) and kind.check is not None:
        return kind.check.message
    shape, attrs = node.inputs[0].type.shape, dict(zip(node.op.attr_names, node.attrs))
    axes = attrs.get("axes", (attrs.get("axis"),))
    extents = [shape[a] for a in axes if a < len(shape)] if axes != (None,) else attrs.get("spatial", ())  # of a scatter into windows
    return f"{node.op.name}: index out of range for dimension of size {', '.join(map(str, extents))}"


def _label(group: Group) -> str:
    main = [n for n in group.nodes if isinstance(n.op.lowering, (Reduction, Contraction))] or group.nodes
    return "_".join(dict.fromkeys(n.op.name for n in main[:3])).replace("reduce_", "")


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
        if isinstance(c, Nested):
            yield pad + line(c.node)
            for body in c.bodies:
                yield from _lines(body, pad + "    ")
        else:
            params = f"; {', '.join(map(str, c.params))}" if c.params else ""
            yield f"{pad}call @{c.kernel}({', '.join(map(name, c.values))}{params})"


def verify_emitted(emitted: Emitted) -> Emitted:
    """`emitted` itself, where every kernel is well formed and every call fits its kernel. LoopVerifyError says what is wrong."""
    from ingot.ir.loop.verify import verify_kernel

    for k in emitted.kernels.values():
        verify_kernel(k)
    _verify_calls(emitted)
    return emitted


def _verify_calls(emitted: Emitted) -> None:
    from ingot.ir.loop.uses import LoopVerifyError

    for c in emitted.calls:
        if isinstance(c, Nested):
            for body in c.bodies:
                _verify_calls(body)
            continue
        k = emitted.kernels.get(c.kernel)
        if k is None or len(k.params) != len(c.params) or [b.dtype for b in k.buffers] != [v.type.dtype for v in c.values]:
            values = ", ".join(str(v.type) for v in c.values)
            raise LoopVerifyError(f"a call of {c.kernel} on {values} with {len(c.params)} parameters does not fit the kernel")
