"""Nodes: one call of a function, a method or a module, or an input, attribute or output."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot.fx.graph import Graph

__all__ = ["Argument", "Node", "Target", "map_aggregate", "map_arg"]

Argument = Any  # nested tuples, lists, dicts and slices of Nodes and plain values
Target = Any  # a function, or the name of a method, module, attribute or input


class Node:
    """One step of a Graph.

    op: "placeholder", "get_attr", "call_function", "call_module", "call_method" or "output"; target: the function, or a name;
    args, kwargs: what it is called with, Nodes for the results of others; users: the Nodes that take its result; meta: a dict for users.
    """

    def __init__(self, graph: Graph, name: str, op: str, target: Target, args: tuple, kwargs: dict[str, Any], return_type: Any = None):
        self.graph = graph
        self.name = name
        self.op = op
        self.target = target
        self.type = return_type
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._args: tuple = ()
        self._kwargs: dict[str, Any] = {}
        self._set(tuple(args), dict(kwargs))

    def _set(self, args: tuple, kwargs: dict[str, Any]) -> None:
        for n in self.all_input_nodes:
            n.users.pop(self, None)
        self._args, self._kwargs = args, kwargs
        for n in self.all_input_nodes:
            n.users[self] = None

    @property
    def args(self) -> tuple:
        return self._args

    @args.setter
    def args(self, args: tuple) -> None:
        self._set(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        self._set(self._args, dict(kwargs))

    @property
    def all_input_nodes(self) -> list[Node]:
        """The Nodes among its arguments, each once."""
        found: dict[Node, None] = {}
        map_arg((self._args, self._kwargs), lambda n: found.setdefault(n))
        return list(found)

    @property
    def next(self) -> Node:
        """The Node behind it in the graph, which goes round."""
        return self.graph._beside(self, 1)

    @property
    def prev(self) -> Node:
        """The Node before it."""
        return self.graph._beside(self, -1)

    def prepend(self, x: Node) -> None:
        """Move a Node right before this one."""
        self.graph._move(x, self, 0)

    def append(self, x: Node) -> None:
        """Move a Node right behind this one."""
        self.graph._move(x, self, 1)

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Replace a positional argument."""
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Replace a keyword argument."""
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Take another Node's result in the place of one."""
        args, kwargs = map_arg((self.args, self.kwargs), lambda n: new_input if n is old_input else n)
        self._set(args, kwargs)

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True) -> list[Node]:
        """Have the users of its result take another Node's. The users that do."""
        changed = [user for user in list(self.users) if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    def is_impure(self) -> bool:
        """Whether it has an effect, so that it stays where nobody takes its result: inputs, outputs, assertions, in-place methods."""
        if self.op in ("placeholder", "output"):
            return True
        name = self.target if isinstance(self.target, str) else getattr(self.target, "__name__", "")
        return self.op in ("call_function", "call_method") and (name in ("_assert", "setitem") or name.endswith("_") and name[:1] != "_")

    def format_node(self) -> str:
        """The step as a line of text."""
        if self.op == "placeholder":
            return f"%{self.name} : [num_users={len(self.users)}] = placeholder[target={self.target}]"
        if self.op == "output":
            return f"return {self.args[0]}"
        target = self.target if isinstance(self.target, str) else getattr(self.target, "__name__", self.target)
        return f"%{self.name} : [num_users={len(self.users)}] = {self.op}[target={target}](args = {self.args}, kwargs = {self.kwargs})"

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        return self.graph._order(self) < self.graph._order(other)


def map_aggregate(a: Argument, fn: Callable[[Any], Any]) -> Argument:
    """An argument with fn(leaf) in the place of each leaf of its tuples, lists, dicts and slices."""
    if isinstance(a, tuple):
        items = [map_aggregate(x, fn) for x in a]
        return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
    if isinstance(a, list):
        return [map_aggregate(x, fn) for x in a]
    if isinstance(a, dict):
        made = type(a)() if type(a) is not dict else {}
        made.update({k: map_aggregate(v, fn) for k, v in a.items()})
        return made
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def map_arg(a: Argument, fn: Callable[[Node], Any]) -> Argument:
    """`map_aggregate` for the Nodes in an argument.

    >>> ingot.fx.map_arg((1, [2]), lambda node: 0)
    (1, [2])
    """
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)
