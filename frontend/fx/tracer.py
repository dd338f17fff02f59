"""Symbolic tracing: a module's forward is run on proxies, which note what is done with them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.fx.graph import Graph, Node
from ingot.fx.graph_module import GraphModule
from ingot.nn.modules.container import Sequential
from ingot.nn.modules.module import Module

__all__ = ["Proxy", "TraceError", "Tracer", "symbolic_trace", "wrap"]

_wrapped: list[tuple[dict[str, Any], str]] = []  # the globals and names of functions that are not looked into


class TraceError(ValueError):
    """What depends on a value while there is none."""


class Proxy:
    """Stands for a value while a module is traced: what is done with it becomes a node."""

    def __init__(self, node: Node, tracer: Tracer):
        self.node, self.tracer = node, tracer

    def __getattr__(self, name: str) -> Any:
        return _Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Any:
        frame = sys._getframe(1)  # `a, b = proxy` asks for as many items as there are names
        code = frame.f_code.co_code
        at = frame.f_lasti + 2
        import dis

        while at < len(code) and dis.opname[code[at]] in ("CACHE", "EXTENDED_ARG"):
            at += 2
        if at < len(code) and dis.opname[code[at]] == "UNPACK_SEQUENCE":
            return (operator.getitem(self, i) for i in range(code[at + 1]))  # type: ignore[call-overload]
        if dis.opname[code[frame.f_lasti]] == "UNPACK_SEQUENCE":
            return (operator.getitem(self, i) for i in range(code[frame.f_lasti + 1]))  # type: ignore[call-overload]
        raise TraceError("a traced value cannot be iterated: its length is not known")

    def __bool__(self) -> bool:
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def __len__(self) -> int:
        raise RuntimeError("'len' is not supported in symbolic tracing by default: use x.shape[0] or x.size(0)")

    def __index__(self) -> int:
        raise TraceError("a traced value is no integer while it is traced")

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"


class _Attribute(Proxy):
    """An attribute of a proxy: a node where it is read as a value, and a method where it is called."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _operator(fn: Callable, swap: bool) -> Callable:
    def method(self: Proxy, *others: Any) -> Any:
        args = (*others, self) if swap else (self, *others)
        return self.tracer.create_proxy("call_function", fn, args, {})

    return method


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    _fn = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(Proxy, f"__{_name}__", _operator(_fn, False))
    setattr(Proxy, f"__r{_name}__", _operator(_fn, True))
for _name in "lt le gt ge eq ne getitem neg pos invert abs".split():
    setattr(Proxy, f"__{_name}__", _operator(getattr(operator, _name), False))
Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]


class Tracer:
    """Traces a module or function: `tracer.trace(root)` gives a Graph. A subclass says by `is_leaf_module` what is one call."""

    def __init__(self, autowrap_modules: tuple = (), autowrap_functions: tuple[Callable, ...] = (), param_shapes_constant: bool = False):
        self.autowrap_functions = autowrap_functions
        self.root: Any = None

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module is one call, rather than looked into: those of `ingot.nn`, but Sequential."""
        return type(m).__module__.startswith("ingot.nn") and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The dotted name of a module. NameError for one that is not part of the root."""
        for name, m in self.root.named_modules():
            if m is mod:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        """What a call of a module within the root gives."""
        path = self.path_of_module(m)
        if not self.is_leaf_module(m, path):
            return forward(*args, **kwargs)
        return self.create_proxy("call_module", path, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        """An argument as the graph holds it: nodes for proxies, and for the root's tensors. NotImplementedError for other tensors."""
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, Tensor):
            for name, t in (*self.root.named_parameters(), *self.root.named_buffers()):
                if t is a:
                    return self.graph.create_node("get_attr", name)
            name = f"_tensor_constant{sum(hasattr(self.root, f'_tensor_constant{i}') for i in range(1000))}"
            self.root.register_buffer(name, a, persistent=False)
            return self.graph.create_node("get_attr", name)
        if isinstance(a, tuple):
            items = [self.create_arg(x) for x in a]
            return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
        if isinstance(a, list):
            return [self.create_arg(x) for x in a]
        if isinstance(a, dict):
            return {k: self.create_arg(v) for k, v in a.items()}
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        return a

    def create_proxy(
        self, kind: str, target: Any, args: tuple, kwargs: dict[str, Any], name: str | None = None, type_expr: Any = None
    ) -> Proxy:
        """A node, and what stands for its value."""
        node = self.graph.create_node(kind, target, self.create_arg(tuple(args)), self.create_arg(dict(kwargs)), name, type_expr)
        return Proxy(node, self)

    def trace(self, root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's forward, or of a function. concrete_args: arguments that are these values."""
        self.graph = Graph()
        self.root = root if isinstance(root, Module) else Module()
        fn = type(root).forward if isinstance(root, Module) else root
        concrete = concrete_args or {}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        parameters = list(inspect.signature(fn).parameters.values())
        for p in parameters[1:] if isinstance(root, Module) else parameters:
            if p.name in concrete:
                value: Any = concrete[p.name]
            elif p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                continue
            else:
                default = () if p.default is p.empty else (p.default,)
                value = self.create_proxy("placeholder", p.name, default, {})
            if p.kind is p.KEYWORD_ONLY:
                kwargs[p.name] = value
            else:
                args.append(value)
        with self._patched():
            result = fn(root, *args, **kwargs) if isinstance(root, Module) else fn(*args, **kwargs)
        self.graph.output(self.create_arg(result))
        return self.graph

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """Modules' calls, and functions that are given proxies, become nodes within the block."""
        undo: list[tuple[Any, str, Any]] = []
        call = Module.__call__
        tracer = self

        def module_call(m: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(m, functools.partial(call, m), args, kwargs)

        def noting(fn: Callable) -> Callable:
            @functools.wraps(fn)
            def noted(*args: Any, **kwargs: Any) -> Any:
                found: list[Proxy] = []
                _find(args, found)
                _find(kwargs, found)
                return tracer.create_proxy("call_function", fn, args, kwargs) if found else fn(*args, **kwargs)

            return noted

        def replace(owner: Any, name: str, value: Any) -> None:
            undo.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

        try:
            replace(Module, "__call__", module_call)
            for module in (ingot, ingot.nn.functional, ingot.linalg, ingot.special):
                for name in dir(module):
                    value = getattr(module, name, None)
                    if inspect.isfunction(value) and not name.startswith("_"):
                        replace(module, name, noting(value))
            for scope, name in _wrapped:
                undo.append((scope, name, scope[name]))
                scope[name] = noting(scope[name])
            yield
        finally:
            for owner, name, value in reversed(undo):
                if isinstance(owner, dict):
                    owner[name] = value
                else:
                    setattr(owner, name, value)


def _find(a: Any, found: list[Proxy]) -> None:
    if isinstance(a, Proxy):
        found.append(a)
    elif isinstance(a, (tuple, list)):
        for x in a:
            _find(x, found)
    elif isinstance(a, dict):
        _find(list(a.values()), found)


def symbolic_trace(root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """The GraphModule of a module, or of a function. TraceError where control flow depends on a value.

    Functions are seen where they are called by an attribute, as in `ingot.relu(x)` and `F.relu(x)`, and as methods and operators; one
    that was imported by its name is made a node by `wrap`.

    >>> print(ingot.fx.symbolic_trace(lambda x: F.relu(x) + 1).code)
    def forward(self, x):
        relu = _relu_0(x)
        add = _add_1(relu, 1)
        return add
    <BLANKLINE>
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    return GraphModule(tracer.root, graph, type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", "function"))


def wrap(fn_or_name: str | Callable) -> Any:
    """Have a function of the calling module be one node, rather than looked into; also a decorator.

    RuntimeError unless it is called at a module's top level, TypeError for what is neither a function nor a name.
    """
    if not isinstance(fn_or_name, str) and not callable(fn_or_name):
        raise TypeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise RuntimeError("wrap must be called at the top level of a module")
    _wrapped.append((frame.f_globals, name))
    return fn_or_name


