"""GraphModule: a Graph as a module."""

from __future__ import annotations

import copy
from typing import Any

from ingot._tensor import Tensor
from ingot.fx.graph import Graph
from ingot.fx.interpreter import Interpreter
from ingot.nn.modules.module import Module

__all__ = ["GraphModule"]

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Give a module what another has at a path of attributes."""
    *path, name = target.split(".")
    for item in path:
        inner = getattr(to_module, item, None)
        if inner is None:
            inner = Module()
            setattr(to_module, item, inner)
        from_module, to_module = getattr(from_module, item), inner
        if from_module is to_module:
            return
    value = getattr(from_module, name)
    if isinstance(value, Tensor) and not (name in to_module._parameters or name in from_module._parameters):
        to_module.register_buffer(name, value)
    else:
        setattr(to_module, name, value)


class _CodeOnlyModule(Module):
    """A module of these attributes."""

    def __init__(self, body: dict[str, Any]):
        super().__init__()
        self.__dict__ = body


class GraphModule(Module):
    """A module that runs a Graph. It has of `root`, a module or a dict of names, what the graph's Nodes name.

    graph: the Graph, which can be set; `code`: it as Python source, for people.
    """

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        if class_name != type(self).__name__:
            self.__class__ = type(class_name, (type(self),), {"__module__": type(self).__module__})
        for node in graph.nodes:
            if node.op in ("get_attr", "call_module"):
                if isinstance(root, dict):
                    setattr(self, node.target, root[node.target])
                else:
                    _copy_attr(root, self, node.target)
        if isinstance(root, Module):
            self.training = root.training
        self.graph = graph
        self.meta: dict[str, Any] = {}

    @property
    def graph(self) -> Graph:
        """The Graph."""
        return self._graph

    @graph.setter
    def graph(self, graph: Graph) -> None:
        graph.owning_module = self
        object.__setattr__(self, "_graph", graph)

    @property
    def code(self) -> str:
        """The Graph as the source of a `forward`."""
        return self._graph.python()

    def recompile(self) -> None:
        """Nothing: the Graph is run as it is."""

    def print_readable(self, print_output: bool = True, **options: Any) -> str:
        """`code`, printed unless print_output is False."""
        text = self.code
        if print_output:
            print(text)
        return text

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the Graph."""
        return Interpreter(self, self._graph).run(*args, **kwargs)

    def delete_all_unused_submodules(self) -> None:
        """Remove the submodules that no Node calls or reads."""
        used = {".".join(parts[: i + 1]) for n in self._graph.nodes if n.op in ("call_module", "get_attr")
                for parts in [n.target.split(".")] for i in range(len(parts))}  # fmt: skip
        for name, _ in list(self.named_modules()):
            inside = any(name.startswith(u + ".") for u in used if isinstance(self.get_submodule(u) if u else None, Module))
            if name and name not in used and not inside:
                parent, _, last = name.rpartition(".")
                self.get_submodule(parent)._modules.pop(last, None)

    def __deepcopy__(self, memo: Any) -> GraphModule:
        made = GraphModule.__new__(type(self))
        memo[id(self)] = made
        Module.__init__(made)
        made.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items() if k != "_graph"})
        made.graph = copy.deepcopy(self._graph)
        return made
