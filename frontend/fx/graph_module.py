"""A Module whose forward is made of a graph."""

from __future__ import annotations

import copy
from typing import Any

from ingot.fx.graph import Graph
from ingot.nn.modules.module import Module

__all__ = ["GraphModule"]


class GraphModule(Module):
    """A Module that runs `graph`, with the submodules, parameters and buffers of `root` (a Module, or a dict by name) that it names.

    After the graph was changed, `recompile()` makes its forward anew. `code` is the forward's source.

    >>> traced = ingot.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> [node.op for node in traced.graph.nodes]
    ['placeholder', 'call_module', 'call_module', 'output']
    >>> traced(ingot.ones(1, 2)).shape
    ingot.Size([1, 2])
    """

    code: str

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        self.__dict__["_class_name"] = class_name
        if isinstance(root, Module):
            self.training = root.training
        for node in graph.nodes:
            if node.op in ("call_module", "get_attr"):
                self._take(root, node.target)
        self.__dict__["_graph"] = graph
        self.recompile()

    def _take(self, root: Module | dict[str, Any], target: str) -> None:
        """Give this module what `root` has at a dotted name, and the modules on the way."""
        *path, last = target.split(".")
        mine: Any = self
        theirs: Any = root
        for part in path:
            if part not in mine._modules:
                mine.add_module(part, Module())
            mine = mine._modules[part]
            theirs = getattr(theirs, part) if isinstance(theirs, Module) else theirs
        value = getattr(theirs, last) if isinstance(theirs, Module) else theirs[target]
        if isinstance(theirs, Module) and last in theirs._buffers:
            mine.register_buffer(last, value)
        elif last not in mine._modules or mine._modules[last] is not value:
            setattr(mine, last, value)

    @property
    def graph(self) -> Graph:
        """The graph; setting it makes the forward anew."""
        return self.__dict__["_graph"]

    @graph.setter
    def graph(self, g: Graph) -> None:
        self.__dict__["_graph"] = g
        self.recompile()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "graph":
            self.__dict__["_graph"] = value
            self.recompile()
        else:
            super().__setattr__(name, value)

    def recompile(self) -> str:
        """Make the forward of the graph: its source."""
        source, names = self.graph.source()
        scope: dict[str, Any] = dict(names)
        exec(compile(source, "<ingot.fx>", "exec"), scope)
        self.__dict__["code"] = source
        self.__dict__["_forward"] = scope["forward"]
        return source

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the graph computes."""
        return self.__dict__["_forward"](self, *args, **kwargs)

    def print_readable(self, print_output: bool = True) -> str:
        """The source, printed."""
        if print_output:
            print(self.code)
        return self.code

    def delete_all_unused_submodules(self) -> None:
        """Remove the submodules that the graph does not call."""
        used = {n.target for n in self.graph.nodes if n.op == "call_module"}
        for name, module in list(self._modules.items()):
            if not any(u == name or u.startswith(f"{name}.") for u in used) and module is not None:
                delattr(self, name)

    def __deepcopy__(self, memo: dict) -> GraphModule:
        return GraphModule(_plain(self, memo), self.graph, self.__dict__["_class_name"])


def _plain(module: GraphModule, memo: dict) -> Module:
    out = Module()
    out._modules.update({k: copy.deepcopy(v, memo) for k, v in module._modules.items()})
    out._parameters.update({k: copy.deepcopy(v, memo) for k, v in module._parameters.items()})
    out._buffers.update({k: copy.deepcopy(v, memo) for k, v in module._buffers.items()})
    out.training = module.training
    return out
