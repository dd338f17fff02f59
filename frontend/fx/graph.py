"""Graphs of Python calls, and their source."""

from __future__ import annotations

import builtins
import contextlib
import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Graph", "Node", "map_arg"]

OPS = ("placeholder", "get_attr", "call_function", "call_method", "call_module", "output")


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """`a` with each Node in it, in tuples, lists, dicts and slices too, replaced by fn(node)."""
    if isinstance(a, Node):
        return fn(a)
    if isinstance(a, tuple):
        items = [map_arg(x, fn) for x in a]
        return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
    if isinstance(a, list):
        return [map_arg(x, fn) for x in a]
    if isinstance(a, dict):
        return {k: map_arg(v, fn) for k, v in a.items()}
    if isinstance(a, slice):
        return slice(map_arg(a.start, fn), map_arg(a.stop, fn), map_arg(a.step, fn))
    return a


class Node:
    """A call: op is one of placeholder, get_attr, call_function, call_method, call_module and output.

    target: what is called, a function, or the name of a method, module, attribute or argument. args, kwargs: with Nodes in them.
    users: the Nodes that read it. meta: a dict for whoever needs it.
    """

    def __init__(self, graph: Graph, name: str, op: str, target: Any, args: tuple, kwargs: dict[str, Any], type_expr: Any = None):
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, type_expr
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._args: tuple = ()
        self._kwargs: dict[str, Any] = {}
        self._update(args, kwargs)

    def _update(self, args: tuple, kwargs: dict[str, Any]) -> None:
        for n in self.all_input_nodes:
            n.users.pop(self, None)
        self._args, self._kwargs = args, kwargs
        for n in self.all_input_nodes:
            n.users[self] = None

    @property
    def args(self) -> tuple:
        """The positional arguments."""
        return self._args

    @args.setter
    def args(self, a: tuple) -> None:
        self._update(tuple(a), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Any]) -> None:
        self._update(self._args, dict(k))

    @property
    def all_input_nodes(self) -> list[Node]:
        """The Nodes that it reads, each once."""
        found: dict[Node, None] = {}
        map_arg((self._args, self._kwargs), lambda n: found.setdefault(n))
        return list(found)

    def _neighbour(self, step: int) -> Any:
        order = self.graph._order
        at = order.index(self) + step
        return order[at] if 0 <= at < len(order) else None

    @property
    def next(self) -> Any:
        """The Node after it; None behind the last."""
        return self._neighbour(1)

    @property
    def prev(self) -> Any:
        """The Node before it; None before the first."""
        return self._neighbour(-1)

    def prepend(self, x: Node) -> None:
        """Move `x` right before it."""
        self.graph._order.remove(x)
        self.graph._order.insert(self.graph._order.index(self), x)

    def append(self, x: Node) -> None:
        """Move `x` right after it."""
        self.graph._order.remove(x)
        self.graph._order.insert(self.graph._order.index(self) + 1, x)

    def replace_input_with(self, old_input: Node, new_input: Any) -> None:
        """Read `new_input` where it read `old_input`."""
        args, kwargs = map_arg((self._args, self._kwargs), lambda n: new_input if n is old_input else n)
        self._update(args, kwargs)

    def replace_all_uses_with(self, replace_with: Any) -> list[Node]:
        """Have all users read another Node: these users."""
        users = list(self.users)
        for user in users:
            if user is not replace_with:
                user.replace_input_with(self, replace_with)
        return users

    def format_node(self) -> str:
        """It as a line of text."""
        called = f"{self.op}[target={_name(self.target)}](args = {self._args}, kwargs = {self._kwargs})"
        return f"%{self.name} : [num_users={len(self.users)}] = {called}"

    def __repr__(self) -> str:
        return self.name


def _name(target: Any) -> str:
    if isinstance(target, str):
        return target
    module = getattr(target, "__module__", "") or ""
    return f"{module.lstrip('_')}.{getattr(target, '__name__', target)}"


class Graph:
    """Nodes in order. New ones are added at the end, or where `inserting_before` or `inserting_after` says."""

    def __init__(self) -> None:
        self._order: list[Node] = []
        self._names: set[str] = set()
        self._at: list[Callable[[Node], None]] = []

    @property
    def nodes(self) -> list[Node]:
        """All Nodes, in order: a copy of the list."""
        return list(self._order)

    def _fresh(self, wish: str) -> str:
        base = re.sub(r"\W+", "_", wish).strip("_").lower() or "value"
        if base[0].isdigit():
            base = f"_{base}"
        name, k = base, 0
        while name in self._names or keyword.iskeyword(name) or name in vars(builtins) or name == "self":
            k += 1
            name = f"{base}_{k}"
        self._names.add(name)
        return name

    def create_node(
        self, op: str, target: Any, args: tuple | None = None, kwargs: dict[str, Any] | None = None, name: str | None = None,
        type_expr: Any = None,
    ) -> Node:  # fmt: skip
        """A new Node. ValueError for an op that there is not."""
        if op not in OPS:
            raise ValueError(f"a node's op is one of {', '.join(OPS)}; got {op!r}")
        wish: str = name or (target if isinstance(target, str) else str(getattr(target, "__name__", "value")))
        node = Node(self, self._fresh(wish), op, target, tuple(args or ()), dict(kwargs or {}), type_expr)
        self._order.append(node)
        if self._at:
            self._at[-1](node)
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = None) -> Node:
        """An argument of the graph."""
        return self.create_node("placeholder", name, (), {}, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """An attribute of the module."""
        return self.create_node("get_attr", qualified_name, name=qualified_name)

    def call_module(self, module_name: str, args: tuple | None = None, kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a submodule."""
        return self.create_node("call_module", module_name, args, kwargs)

    def call_method(self, method_name: str, args: tuple | None = None, kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs)

    def call_function(
        self, the_function: Callable, args: tuple | None = None, kwargs: dict[str, Any] | None = None, type_expr: Any = None
    ) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """The result of the graph."""
        return self.create_node("output", "output", (result,))

    @contextlib.contextmanager
    def _inserting(self, place: Callable[[Node], None]) -> Iterator[None]:
        self._at.append(place)
        try:
            yield
        finally:
            self._at.pop()

    def inserting_before(self, n: Node | None = None) -> Any:
        """A block in which new Nodes go before `n` (at the beginning where None)."""
        target = n or self._order[0]
        return self._inserting(target.prepend)

    def inserting_after(self, n: Node | None = None) -> Any:
        """A block in which new Nodes go after `n` (at the end where None), each after the one before."""
        last = [n or self._order[-1]]

        def place(node: Node) -> None:
            if node is not last[0]:
                last[0].append(node)
            last[0] = node

        return self._inserting(place)

    def erase_node(self, to_erase: Node) -> None:
        """Remove a Node. RuntimeError where another one reads it."""
        if to_erase.users:
            users = list(to_erase.users)
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(users)} users in the graph: {users}!")
        to_erase._update((), {})
        self._order.remove(to_erase)

    def eliminate_dead_code(self) -> bool:
        """Remove Nodes that nobody reads, arguments and the output aside: whether there were any."""
        dead = [n for n in reversed(self._order)]
        found = False
        for n in dead:
            if not n.users and n.op not in ("placeholder", "output"):
                self.erase_node(n)
                found = True
        return found

    def lint(self) -> None:
        """RuntimeError unless every Node is read after it stands, and names are different."""
        seen: set[Node] = set()
        for n in self._order:
            for i in n.all_input_nodes:
                if i not in seen:
                    raise RuntimeError(f"Argument '{i}' of Node '{n}' was used before it has been defined! Nodes must be in order")
            seen.add(n)
        if len({n.name for n in self._order}) != len(self._order):
            raise RuntimeError("two Nodes have one name")

    def source(self) -> tuple[str, dict[str, Any]]:
        """The text of a `forward`, and the globals that it needs."""
        names: dict[str, Any] = {}
        arguments, lines = [], []

        def text(a: Any) -> str:
            if isinstance(a, Node):
                return a.name
            if isinstance(a, tuple) and not hasattr(a, "_fields"):
                return "(" + "".join(f"{text(x)}, " for x in a) + ")"
            if isinstance(a, list):
                return "[" + ", ".join(map(text, a)) + "]"
            if isinstance(a, dict):
                return "{" + ", ".join(f"{k!r}: {text(v)}" for k, v in a.items()) + "}"
            if isinstance(a, slice):
                return f"slice({text(a.start)}, {text(a.stop)}, {text(a.step)})"
            if a is None or isinstance(a, (bool, int, str)):
                return repr(a)
            return known(a, "value")

        def known(value: Any, wish: str) -> str:
            found = next((k for k, v in names.items() if v is value), None)
            if found is None:
                found = f"_{re.sub(r'[^0-9a-zA-Z_]', '_', wish)}_{len(names)}"
                names[found] = value
            return found

        for n in self._order:
            given = ", ".join([*map(text, n.args), *(f"{k}={text(v)}" for k, v in n.kwargs.items())])
            if n.op == "placeholder":
                star = "*" * (len(n.target) - len(n.target.lstrip("*")))
                arguments.append(f"{star}{n.name}" + (f"={text(n.args[0])}" if n.args else ""))
            elif n.op == "get_attr":
                lines.append(f"{n.name} = self{_path(n.target)}")
            elif n.op == "call_function":
                lines.append(f"{n.name} = {known(n.target, getattr(n.target, '__name__', 'function'))}({given})")
            elif n.op == "call_method":
                first, *rest = [*map(text, n.args)]
                more = ", ".join([*rest, *(f"{k}={text(v)}" for k, v in n.kwargs.items())])
                lines.append(f"{n.name} = {first}.{n.target}({more})")
            elif n.op == "call_module":
                lines.append(f"{n.name} = self{_path(n.target)}({given})")
            else:
                lines.append(f"return {text(n.args[0])}")
        body = "\n".join(f"    {line}" for line in lines) or "    pass"
        return f"def forward({', '.join(['self', *arguments])}):\n{body}\n", names

    def __str__(self) -> str:
        return "graph():\n" + "\n".join(f"    {n.format_node()}" for n in self._order)


def _path(target: str) -> str:
    return "".join(f".{part}" if part.isidentifier() else f"._modules[{part!r}]" for part in target.split("."))


