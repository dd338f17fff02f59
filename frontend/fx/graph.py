"""Graphs: Nodes in the order in which they run."""

from __future__ import annotations

import builtins
import contextlib
import copy
import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any

from ingot.fx.node import Argument, Node, Target, map_arg

__all__ = ["Graph"]

_OPS = ("placeholder", "get_attr", "call_function", "call_module", "call_method", "output")


class Graph:
    """A list of Nodes that can be read and changed. New ones go to the end, or where `inserting_before` and `inserting_after` say.

    >>> graph = ingot.fx.Graph()
    >>> x = graph.placeholder("x")
    >>> _ = graph.output(graph.call_function(ingot.relu, (x,)))
    >>> ingot.fx.GraphModule(nn.Module(), graph)(ingot.tensor([-1.0, 1.0]))
    tensor([0., 1.])
    """

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None, tracer_extras: Any = None):
        self.owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._nodes: list[Node] = []
        self._names: set[str] = set()
        self._at: tuple[Node, int] | None = None  # where the next Node goes: beside which, and how far from it

    @property
    def nodes(self) -> list[Node]:
        """The Nodes, in order: a list of its own."""
        return list(self._nodes)

    # ---- making nodes

    def create_node(
        self,
        op: str,
        target: Target,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A new Node. ValueError for another op than a Node's."""
        if op not in _OPS:
            raise ValueError(f"a node's op is one of {', '.join(_OPS)}, not {op!r}")
        node = Node(self, self._name(name or _candidate(op, target)), op, target, args, kwargs or {}, type_expr)
        if self._at is None:
            self._nodes.append(node)
        else:
            beside, step = self._at
            self._nodes.insert(self._order(beside) + step, node)
            if step:
                self._at = (node, 1)
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """An input."""
        return self.create_node("placeholder", name, () if default_value is ... else (default_value,), name=name, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """An attribute of the module."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_function(self, the_function: Callable, args: tuple = (), kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name: str, args: tuple = (), kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_module(self, module_name: str, args: tuple = (), kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a submodule."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def output(self, result: Argument, type_expr: Any = None) -> Node:
        """What the graph returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Argument] = lambda x: x) -> Node:
        """A copy of another graph's Node; arg_transform gives what stands for each of its arguments here."""
        args, kwargs = map_arg((node.args, node.kwargs), arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """Copy the Nodes of another graph that are not in val_map, which gets them. What that graph returns, in Nodes of this one."""
        for node in g._nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], lambda n: val_map[n])
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def _name(self, candidate: str) -> str:
        base = re.sub(r"[^0-9a-zA-Z_]+", "_", candidate) or "_"
        if base[0].isdigit() or keyword.iskeyword(base) or hasattr(builtins, base):
            base = f"_{base}" if base[0].isdigit() else f"{base}_1"
        name, (stem, n) = base, _numbered(base)
        while name in self._names:
            n += 1
            name = f"{stem}_{n}"
        self._names.add(name)
        return name

    # ---- changing the graph

    def inserting_before(self, n: Node | None = None) -> Any:
        """A block in which new Nodes go before one; without one, to the start."""
        return self._inserting((n, 0) if n is not None else (self._nodes[0], 0) if self._nodes else None)

    def inserting_after(self, n: Node | None = None) -> Any:
        """A block in which new Nodes go behind one; without one, to the end."""
        return self._inserting((n, 1) if n is not None else None)

    @contextlib.contextmanager
    def _inserting(self, at: tuple[Node, int] | None) -> Iterator[None]:
        before, self._at = self._at, at
        try:
            yield
        finally:
            self._at = before

    def erase_node(self, to_erase: Node) -> None:
        """Remove a Node. RuntimeError where another takes its result."""
        if to_erase.users:
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph")
        if to_erase in self._nodes:
            self._nodes.remove(to_erase)
        to_erase._set((), {})

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Remove the Nodes whose results nobody takes, if they have no effect. Whether there were any."""
        impure = is_impure_node or Node.is_impure
        dead = [n for n in reversed(self._nodes) if not n.users and not impure(n)]
        changed = bool(dead)
        while dead:
            for n in dead:
                self.erase_node(n)
            dead = [n for n in reversed(self._nodes) if not n.users and not impure(n)]
        return changed

    def lint(self) -> None:
        """RuntimeError where a Node takes the result of one that is not before it."""
        seen: set[Node] = set()
        for n in self._nodes:
            for i in n.all_input_nodes:
                if i not in seen:
                    raise RuntimeError(f"Argument '{i}' of Node '{n}' was used before it has been defined!")
            seen.add(n)

    def find_nodes(self, *, op: str, target: Target = None, sort: bool = True) -> list[Node]:
        """The Nodes of an op, and of a target where one is given."""
        return [n for n in self._nodes if n.op == op and (target is None or n.target == target)]

    def output_node(self) -> Node:
        """The Node that says what the graph returns."""
        return next(n for n in reversed(self._nodes) if n.op == "output")

    def _order(self, n: Node) -> int:
        return next(i for i, found in enumerate(self._nodes) if found is n)

    def _beside(self, n: Node, step: int) -> Node:
        return self._nodes[(self._order(n) + step) % len(self._nodes)]

    def _move(self, x: Node, beside: Node, step: int) -> None:
        if x is not beside:
            self._nodes.remove(x)
            self._nodes.insert(self._order(beside) + step, x)

    # ---- text

    def __str__(self) -> str:
        inputs = ", ".join(f"%{n.name}" for n in self._nodes if n.op == "placeholder")
        return "\n    ".join([f"graph({inputs}):", *(n.format_node() for n in self._nodes)])

    def print_tabular(self) -> None:
        """Print a line for each Node."""
        for n in self._nodes:
            print(f"{n.op:14} {n.name:20} {getattr(n.target, '__name__', n.target)!s:24} {n.args} {n.kwargs or ''}")

    def python(self) -> str:
        """The graph as the source of a `forward`, for people."""
        inputs = "".join(f", {n.target}" for n in self._nodes if n.op == "placeholder")
        lines = [f"def forward(self{inputs}):"]
        for n in self._nodes:
            args = ", ".join([*map(repr, n.args), *(f"{k}={v!r}" for k, v in n.kwargs.items())])
            if n.op == "call_function":
                lines.append(f"    {n} = {getattr(n.target, '__module__', '')}.{getattr(n.target, '__name__', n.target)}({args})")
            elif n.op == "call_method":
                lines.append(f"    {n} = {n.args[0]}.{n.target}({', '.join(map(repr, n.args[1:]))})")
            elif n.op in ("call_module", "get_attr"):
                lines.append(f"    {n} = self.{n.target}" + (f"({args})" if n.op == "call_module" else ""))
            elif n.op == "output":
                lines.append(f"    return {n.args[0]!r}")
        return "\n".join(lines) + "\n"

    def __deepcopy__(self, memo: Any = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        val_map: dict[Node, Node] = {}
        result = made.graph_copy(self, val_map, return_output_node=True)
        if result is not None:
            node = made.output(result[0], result[1].type)
            node.meta = copy.copy(result[1].meta)
        return made


def _candidate(op: str, target: Target) -> str:
    if callable(target):
        return getattr(target, "__name__", type(target).__name__).strip("_")
    return re.sub(r"[^0-9a-zA-Z_]+", "_", str(target))


def _numbered(name: str) -> tuple[str, int]:
    found = re.match(r"(.*)_(\d+)$", name)
    return (found[1], int(found[2])) if found else (name, 0)
