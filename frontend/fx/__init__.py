"""`ingot.fx`: a module's forward as a graph of Python calls, to look at, change, and run as a module again.

    traced = ingot.fx.symbolic_trace(model)
    for node in traced.graph.nodes:
        if node.op == "call_module": ...
    traced.recompile()

The graph is of calls as a program writes them, for feature extractors and the like; what is compiled is the IR, see `ingot.compile`.
"""

from __future__ import annotations

from ingot.fx.graph import Graph, Node
from ingot.fx.graph_module import GraphModule
from ingot.fx.interpreter import Interpreter, Transformer
from ingot.fx.tracer import Proxy, TraceError, Tracer, symbolic_trace, wrap

__all__ = ["Graph", "GraphModule", "Interpreter", "Node", "Proxy", "TraceError", "Tracer", "Transformer", "symbolic_trace", "wrap"]
