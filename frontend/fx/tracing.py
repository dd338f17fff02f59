"""Tracing: a module runs on Proxies, and what it calls becomes a Graph.

While it runs, calls of modules, attributes that are parameters, and the public functions are replaced by such that look for Proxies among
their arguments. Where a function was imported by its name, the name is replaced in the globals of the code that runs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import sys
import threading
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.overriding import operands
from ingot.fx.graph import Graph
from ingot.fx.graph_module import GraphModule
from ingot.fx.node import Node, map_aggregate
from ingot.fx.proxies import Proxy, TraceError
from ingot.nn.modules.module import Module

__all__ = ["GraphAppendingTracer", "Tracer", "symbolic_trace", "wrap"]

_LOCK = threading.RLock()
_WRAPPED: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}  # globals and a name in them that stays one call
_HOMES = ("ingot", "ingot.nn.functional", "ingot.special", "ingot.linalg", "ingot.nn.init")


def wrap(fn_or_name: str | Callable) -> Any:
    """Have a function of the module that says so, or the name of one, be one call in graphs, whatever it does. The function.

    NotImplementedError, as in torch, where it is called inside of a function.

    >>> @ingot.fx.wrap
    ... def scaled(x, n):
    ...     return x * int(n)
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    space = frame.f_globals
    _WRAPPED[id(space), name] = (space, name)
    return fn_or_name


def _has_proxy(args: tuple, kwargs: dict[str, Any]) -> Proxy | None:
    found: list[Proxy] = []
    map_aggregate((args, kwargs), lambda x: found.append(x) if isinstance(x, Proxy) else None)
    return found[0] if found else None


def _recording(fn: Callable) -> Callable:
    """A function that is a Node where it is called with Proxies."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        proxy = _has_proxy(args, kwargs)
        return fn(*args, **kwargs) if proxy is None else proxy.tracer.create_proxy("call_function", fn, operands(fn, args), kwargs)

    return call


def _functions() -> dict[Callable, Callable]:
    """The public functions, and what records calls of each."""
    found: dict[Callable, Callable] = {}
    for home in _HOMES:
        module = sys.modules.get(home) or __import__(home, fromlist=["_"])
        for name in dir(module):
            fn = getattr(module, name, None)
            if isinstance(fn, FunctionType) and fn.__module__.startswith("ingot.") and ".fx" not in fn.__module__ and fn not in found:
                found[fn] = _recording(fn)
    return found


class _Patches:
    """What is replaced while a module is traced, and put back."""

    def __init__(self) -> None:
        self._done: list[Callable[[], None]] = []

    def item(self, space: dict[str, Any], name: str, value: Any) -> None:
        if name in space:
            self._done.append(functools.partial(space.__setitem__, name, space[name]))
            space[name] = value

    def attribute(self, x: Any, name: str, value: Any) -> None:
        self._done.append(functools.partial(setattr, x, name, vars(x)[name]))
        setattr(x, name, value)

    def undo(self) -> None:
        for put_back in reversed(self._done):
            put_back()


class Tracer:
    """Makes the Graph of a module. A subclass says in `is_leaf_module` which modules stay one call each.

    autowrap_modules, autowrap_functions: functions, and modules of functions, that stay one call each.
    """

    def __init__(
        self, autowrap_modules: tuple = (math,), autowrap_functions: tuple = (), param_shapes_constant: bool = False
    ):  # fmt: skip
        self._autowrapped = {f for f in autowrap_functions if callable(f)}
        for module in autowrap_modules:
            self._autowrapped |= {f for n, f in vars(module).items() if not n.startswith("_") and callable(f) and not inspect.isclass(f)}
        self.graph = Graph()
        self.root: Any = Module()
        self.module_stack: list[str] = []

    # ---- what subclasses may change

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module is one call: those of `ingot.nn`, but Sequential."""
        return m.__module__.startswith(("ingot.nn", "torch.nn")) and not isinstance(m, ingot.nn.Sequential)

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What the call of a submodule gives: a Proxy for a leaf; else what its `forward` gives."""
        name = self.path_of_module(m)
        return self.create_proxy("call_module", name, args, kwargs) if self.is_leaf_module(m, name) else forward(*args, **kwargs)

    def create_node(
        self, kind: str, target: Any, args: tuple, kwargs: dict[str, Any], name: str | None = None, type_expr: Any = None
    ) -> Node:
        """A new Node of the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def create_proxy(
        self, kind: str, target: Any, args: tuple, kwargs: dict[str, Any], name: str | None = None, type_expr: Any = None, *more: Any
    ) -> Any:
        """A new Node for a call on Proxies, and the Proxy of its result."""
        return self.proxy(self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr))

    def proxy(self, node: Node) -> Proxy:
        """The Proxy of a Node's result."""
        return Proxy(node, self)

    def create_arg(self, a: Any) -> Any:
        """What stands in a Node for a value: Nodes for Proxies, attributes for tensors and modules."""

        def leaf(x: Any) -> Any:
            if isinstance(x, Proxy):
                return x.node
            if isinstance(x, Tensor):
                return self.create_node("get_attr", self._path_of(x), (), {})
            if isinstance(x, Module):
                return self.create_node("get_attr", self.path_of_module(x), (), {})
            return x

        return map_aggregate(a, leaf)

    def path_of_module(self, mod: Module) -> str:
        """The name of a submodule of the root. NameError where it is none."""
        name = self._paths.get(mod)
        if name is None:
            raise NameError("module is not installed as a submodule")
        return name

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """TraceError, but where the line that iterates unpacks into as many names as it says: then as many items."""
        n = _unpacked(sys._getframe(2))
        if n is None:
            raise TraceError(
                "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or **kwargs "
                "function argument"
            )
        return iter([obj[i] for i in range(n)])  # type: ignore[index]

    def to_bool(self, obj: Proxy) -> bool:
        """TraceError: a branch on a value."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    # ---- tracing

    def trace(self, root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The Graph of a module or function; concrete_args: arguments that are these values. TraceError where it needs a value."""
        if isinstance(root, Module):
            self.root, fn = root, type(root).forward
            self._paths = {m: n for n, m in root.named_modules()}
        else:
            self.root, fn = Module(), root
            self._paths = {}
        self._tensors = {id(t): n for n, t in [*self.root.named_parameters(), *self.root.named_buffers()]}
        self.graph = Graph(tracer_cls=type(self))
        args, kwargs = self._inputs(fn, concrete_args or {})
        with self._patched(fn):
            result = fn(self.root, *args, **kwargs) if isinstance(root, Module) else fn(*args, **kwargs)
        self.create_node("output", "output", (self.create_arg(result),), {})
        return self.graph

    def _inputs(self, fn: Callable, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        parameters = list(inspect.signature(fn).parameters.values())
        for p in parameters[isinstance(self.root, Module) and fn is getattr(type(self.root), "forward", None) :]:
            if p.name in given:
                value = given[p.name]
            else:
                star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
                default = () if p.default is p.empty else (p.default,)
                value = self.create_proxy("placeholder", star + p.name, default, {}, name=p.name)
            if p.kind is p.KEYWORD_ONLY:
                kwargs[p.name] = value
            elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
                args.append(value)
        return args, kwargs

    @contextlib.contextmanager
    def _patched(self, fn: Callable) -> Iterator[None]:
        with _LOCK:
            patches = _Patches()
            try:
                functions = _functions()
                for home in _HOMES:
                    space = vars(sys.modules[home])
                    for name in dir(sys.modules[home]):
                        value = space.get(name)
                        if isinstance(value, FunctionType) and value in functions:
                            patches.item(space, name, functions[value])
                self._patch_globals(patches, fn, functions)
                call = Module.__call__

                def module_call(mod: Module, *args: Any, **kwargs: Any) -> Any:
                    if mod not in self._paths:
                        return call(mod, *args, **kwargs)
                    self.module_stack.append(self._paths[mod])
                    try:
                        return self.call_module(mod, functools.partial(call, mod), args, kwargs)
                    finally:
                        self.module_stack.pop()

                get, proxies = Module.__getattr__, dict[str, Proxy]()

                def module_getattr(mod: Module, name: str) -> Any:
                    found = get(mod, name)
                    path = self._tensors.get(id(found)) if isinstance(found, Tensor) else None
                    if path is None:
                        return found
                    if path not in proxies:
                        proxies[path] = self.create_proxy("get_attr", path, (), {})
                    return proxies[path]

                patches.attribute(Module, "__call__", module_call)
                patches.attribute(Module, "__getattr__", module_getattr)
                yield
            finally:
                patches.undo()

    def _patch_globals(self, patches: _Patches, fn: Callable, functions: dict[Callable, Callable]) -> None:
        spaces: dict[int, dict[str, Any]] = {}
        for code in (fn, *(f for m in self._paths for f in vars(type(m)).values())):
            space = getattr(inspect.unwrap(code) if callable(code) else code, "__globals__", None)
            if space is not None and not str(space.get("__name__", "")).startswith("ingot."):
                spaces[id(space)] = space
        own = {f: _recording(f) for f in self._autowrapped}
        for space in spaces.values():
            for name, value in list(space.items()):
                if callable(value) and not isinstance(value, (type, ModuleType)):
                    with contextlib.suppress(TypeError):  # what has no hash
                        found = own.get(value) or functions.get(value)
                        if found is not None:
                            patches.item(space, name, found)
        for space, name in list(_WRAPPED.values()):
            if callable(space.get(name)):
                patches.item(space, name, _recording(space[name]))

    def _path_of(self, t: Tensor) -> str:
        name = self._tensors.get(id(t))
        if name is None:  # a tensor that was made while tracing: kept at the root
            n = 0
            while hasattr(self.root, f"_tensor_constant{n}"):
                n += 1
            name = f"_tensor_constant{n}"
            object.__setattr__(self.root, name, t)
            self._tensors[id(t)] = name
        return name


class GraphAppendingTracer(Tracer):
    """Adds what is done with its Proxies to a Graph, where they are used: no function is traced.

    Functions of Ingot ask their arguments from then on (see `ingot.overrides`).
    """

    def __init__(self, graph: Graph):
        super().__init__()
        importlib.import_module("ingot.overrides").install()
        self.graph = graph
        self._paths: dict[Module, str] = {}
        self._tensors: dict[int, str] = {}


Proxy.appending = GraphAppendingTracer


def _unpacked(frame: Any) -> int | None:
    """How many names the instruction that a frame is at unpacks into; None where it does not."""
    import dis

    for i in dis.get_instructions(frame.f_code):
        if i.offset >= frame.f_lasti and i.opname != "CACHE":
            return i.argval if i.opname == "UNPACK_SEQUENCE" else None
    return None


def symbolic_trace(root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """The GraphModule of a module or function, which computes the same.

    TraceError where Python needs a value, as in a branch; see `Tracer` for what stays one call.

    >>> traced = ingot.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> [node.op for node in traced.graph.nodes]
    ['placeholder', 'call_module', 'call_module', 'output']
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    return GraphModule(tracer.root, graph, type(root).__name__ if isinstance(root, Module) else root.__name__)
