"""Running a graph node by node."""

from __future__ import annotations

from typing import Any

from ingot.fx.graph import Graph, Node, map_arg
from ingot.fx.graph_module import GraphModule

__all__ = ["Interpreter", "Transformer"]


class Interpreter:
    """Runs a GraphModule node by node: `Interpreter(traced).run(x)`. A subclass overrides `run_node`, or a method for each op.

    >>> traced = ingot.fx.symbolic_trace(lambda x: x * 2)
    >>> ingot.fx.Interpreter(traced).run(ingot.ones(1))
    tensor([2.])
    """

    def __init__(self, module: GraphModule, garbage_collect_values: bool = True, graph: Graph | None = None):
        self.module = module
        self.graph = graph or module.graph
        self.env: dict[Node, Any] = {}

    def run(self, *args: Any, initial_env: dict[Node, Any] | None = None, enable_io_processing: bool = True) -> Any:
        """The result for these arguments."""
        self.env = dict(initial_env or {})
        self._arguments = iter(args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
        return None

    def run_node(self, n: Node) -> Any:
        """The value of a node."""
        args, kwargs = map_arg((n.args, n.kwargs), lambda m: self.env[m])
        return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The next argument, or the default. RuntimeError where there is neither."""
        try:
            return next(self._arguments)
        except StopIteration:
            if args:
                return args[0]
            raise RuntimeError(f"Expected positional argument for parameter {target}, but one was not passed in!") from None

    def fetch_attr(self, target: str) -> Any:
        """What the module has at a dotted name."""
        value: Any = self.module
        for part in target.split("."):
            value = getattr(value, part)
        return value

    def get_attr(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """An attribute."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A function's value."""
        return target(*args, **kwargs)

    def call_method(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A method's value."""
        first, *rest = args
        return getattr(first, target)(*rest, **kwargs)

    def call_module(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A submodule's value."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result."""
        return args[0]


class Transformer(Interpreter):
    """Makes another GraphModule: its methods are given proxies, and what they do with these becomes the new graph."""

    def __init__(self, module: GraphModule):
        from ingot.fx.tracer import Tracer

        super().__init__(module)
        self.tracer = Tracer()
        self.tracer.root, self.tracer.graph = module, Graph()

    def placeholder(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("placeholder", target, args, kwargs)

    def get_attr(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_module(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The new GraphModule."""
        result = self.run()
        self.tracer.graph.output(self.tracer.create_arg(result))
        return GraphModule(self.module, self.tracer.graph)
