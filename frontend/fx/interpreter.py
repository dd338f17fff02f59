"""Running a Graph Node by Node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingot.fx.graph import Graph
from ingot.fx.node import Node, map_arg
from ingot.nn.modules.module import Module

__all__ = ["Interpreter"]


class Interpreter:
    """Runs the Graph of a module. A subclass may change what each kind of Node does, by a method of the op's name.

    >>> class Counting(ingot.fx.Interpreter):
    ...     calls = 0
    ...     def call_function(self, target, args, kwargs):
    ...         self.calls += 1
    ...         return super().call_function(target, args, kwargs)
    >>> counting = Counting(ingot.fx.symbolic_trace(lambda x: ingot.relu(x) + 1))
    >>> counting.run(ingot.ones(1)), counting.calls
    (tensor([2.]), 2)
    """

    def __init__(self, module: Module, graph: Graph | None = None, garbage_collect_values: bool = True):
        self.module = module
        self.graph: Graph = module.graph if graph is None else graph  # type: ignore[assignment]
        self.env: dict[Node, Any] = {}
        self.args_iter: Iterator[Any] = iter(())
        self._kwargs: dict[str, Any] = {}

    def run(self, *args: Any, initial_env: dict[Node, Any] | None = None, **kwargs: Any) -> Any:
        """What the Graph returns for these arguments. TypeError for a missing one."""
        self.env, self.args_iter, self._kwargs = dict(initial_env or {}), iter(args), kwargs
        uses = {n: len(n.users) for n in self.graph.nodes}
        for node in self.graph.nodes:
            if node not in self.env:
                self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
            for n in node.all_input_nodes:
                uses[n] -= 1
                if not uses[n]:
                    del self.env[n]  # its memory is free
        return None

    def run_node(self, n: Node) -> Any:
        """The result of a Node whose arguments are known."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[tuple, dict[str, Any]]:
        """The arguments of a Node, as values."""
        return map_arg((n.args, n.kwargs), lambda x: self.env[x])

    def placeholder(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The next argument, that of the name, or the default."""
        if target.startswith("**"):
            return self._kwargs
        if target.startswith("*"):
            return list(self.args_iter)
        missing = object()
        found = next(self.args_iter, missing)
        if found is missing:
            found = self._kwargs.get(target, args[0] if args else missing)
        if found is missing:
            raise TypeError(f"Expected positional argument for parameter {target}, but one was not passed in!")
        return found

    def get_attr(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """An attribute of the module, by its path."""
        found: Any = self.module
        for name in target.split("."):
            found = getattr(found, name)
        return found

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call a function."""
        return target(*args, **kwargs)

    def call_method(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call a method of the first argument."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call a submodule."""
        return self.get_attr(target, (), {})(*args, **kwargs)

    def output(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What is returned."""
        return args[0]
