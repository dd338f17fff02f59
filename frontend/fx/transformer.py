"""Making another Graph by running one on Proxies."""

from __future__ import annotations

from typing import Any

from ingot.fx.graph_module import GraphModule
from ingot.fx.interpreter import Interpreter
from ingot.fx.tracing import Tracer

__all__ = ["Transformer"]


class Transformer(Interpreter):
    """An Interpreter on Proxies: `transform` gives the GraphModule of what its methods do."""

    def __init__(self, module: GraphModule):
        super().__init__(module)
        self.tracer = Tracer()
        self.tracer.root = module
        self.tracer._tensors = {id(t): n for n, t in [*module.named_parameters(), *module.named_buffers()]}
        self.tracer._paths = {m: n for n, m in module.named_modules()}

    def placeholder(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("placeholder", target, args, {}, name=target.lstrip("*"))

    def get_attr(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("get_attr", target, (), {})

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_method(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_method", target, args, kwargs)

    def call_module(self, target: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The module that does what this one's methods say."""
        result = self.run()
        self.tracer.create_node("output", "output", (self.tracer.create_arg(result),), {})
        return GraphModule(self.module, self.tracer.graph)
