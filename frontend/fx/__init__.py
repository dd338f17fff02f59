"""`fx`: the operations of a module as a list that programs can read and change, by torch.fx's names.

    traced = ingot.fx.symbolic_trace(model)
    for node in traced.graph.nodes:
        print(node.op, node.target)

What is recorded is Python: which functions, methods and submodules are called with what. Compiling needs none of it (`ingot.compile`).
Source: torch.fx.
"""

from __future__ import annotations

from ingot._paths import below
from ingot.fx.graph import Graph
from ingot.fx.graph_module import GraphModule
from ingot.fx.interpreter import Interpreter
from ingot.fx.node import Node, map_arg
from ingot.fx.proxies import Proxy, TraceError
from ingot.fx.tracing import Tracer, symbolic_trace, wrap
from ingot.fx.transformer import Transformer

__all__ = [
    "Graph", "GraphModule", "Interpreter", "Node", "Proxy", "TraceError", "Tracer", "Transformer", "map_arg", "symbolic_trace", "wrap",
]  # fmt: skip

__getattr__ = below(__name__)
