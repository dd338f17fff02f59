"""The names of torch._dynamo that libraries use. What compiles is `ingot.compile`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ingot.capture import CaptureError as Unsupported
from ingot.compiler import allow_in_graph, assume_constant_result, disable, is_compiling, list_backends, reset, substitute_in_graph

__all__ = [
    "allow_in_graph", "assume_constant_result", "config", "disable", "exc", "graph_break", "is_compiling", "list_backends",
    "mark_static_address", "maybe_mark_dynamic", "optimize", "reset", "substitute_in_graph",
]  # fmt: skip

config = SimpleNamespace(suppress_errors=False, cache_size_limit=8, recompile_limit=8)  # can be set, and changes nothing
exc = SimpleNamespace(Unsupported=Unsupported)


def graph_break(msg: str = "") -> None:
    """Nothing: a compiled function is one graph."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing: code takes the address of a tensor at each call."""


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """Nothing: a size that comes back with another value is one that changes."""


def optimize(backend: Any = None, **options: Any) -> Any:
    """A decorator: `ingot.compile`."""
    import ingot

    return ingot.compile
