"""The names of torch._dynamo that libraries use. What compiles is `ingot.compile`."""

from __future__ import annotations

from typing import Any

from ingot._dynamo import config, exc
from ingot._paths import below
from ingot.capture import CompiledModule as OptimizedModule
from ingot.compiler import allow_in_graph, assume_constant_result, disable, is_compiling, list_backends, reset, substitute_in_graph

__all__ = [
    "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "disable", "exc", "graph_break", "is_compiling",
    "list_backends", "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic", "optimize", "reset", "substitute_in_graph",
]  # fmt: skip

__getattr__ = below(__name__)


def graph_break(msg: str = "") -> None:
    """Nothing: a compiled function is one graph."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing: code takes the address of a tensor at each call."""


def mark_dynamic(t: Any, index: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Nothing: a size that comes back with another value is one that changes."""


def mark_static(t: Any, index: Any = None) -> None:
    """Nothing: code is made for one size until it comes back with another."""


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """Nothing: a size that comes back with another value is one that changes."""


def optimize(backend: Any = None, **options: Any) -> Any:
    """A decorator: `ingot.compile`."""
    import ingot

    return ingot.compile
