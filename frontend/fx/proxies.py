"""Proxies: what stands for a value while a module is traced, and records what is done with it."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ingot.fx.node import Node, map_aggregate

if TYPE_CHECKING:
    from ingot.fx.tracing import Tracer

__all__ = ["Attribute", "Proxy", "TraceError"]


class TraceError(ValueError):
    """Python needs the value of what only stands for one."""


class Proxy:
    """A value of a graph that is being made: operators, methods and functions of Ingot on it become Nodes.

    Without a tracer they are added to the node's own graph:

        graph = ingot.fx.Graph()
        x = ingot.fx.Proxy(graph.placeholder("x"))
        graph.output((ingot.relu(x) + x.sum()).node)
    """

    appending: Any = None  # the class of tracers that add to a graph, which tracing.py puts here

    def __init__(self, node: Node, tracer: Tracer | None = None):
        self.node = node
        self.tracer: Tracer = Proxy.appending(node.graph) if tracer is None else tracer

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """A call of a function with a Proxy becomes a Node of the first one's tracer."""
        found: list[Proxy] = []
        map_aggregate((args, kwargs or {}), lambda x: found.append(x) if isinstance(x, Proxy) else None)
        return found[0].tracer.create_proxy("call_function", func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __len__(self) -> NoReturn:
        raise TraceError("'len' is not supported in symbolic tracing by default: the length of what is traced is not known")

    def __index__(self) -> NoReturn:
        raise TraceError(f"{self!r} stands for a value that is not known while tracing, and no integer can be made of it")

    __int__ = __float__ = __index__

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __hash__(self) -> int:
        return id(self)


class Attribute(Proxy):
    """An attribute of a Proxy: a Node where it is used as a value, else the name of a method that is called."""

    def __init__(self, root: Proxy, attr: str):
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


_REFLECTED = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift", "matmul")
_OTHERS = ("neg", "pos", "invert", "abs", "eq", "ne", "lt", "le", "gt", "ge", "getitem")


def _method(fn: Any, reflected: bool) -> Any:
    def method(self: Proxy, *args: Any) -> Any:
        return self.tracer.create_proxy("call_function", fn, (*args, self) if reflected else (self, *args), {})

    return method


for _name in (*_REFLECTED, *_OTHERS):
    _short = _name.strip("_")
    setattr(Proxy, f"__{_short}__", _method(getattr(operator, _name), False))
    if _name in _REFLECTED:
        setattr(Proxy, f"__r{_short}__", _method(getattr(operator, _name), True))
