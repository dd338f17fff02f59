"""Module: calls, registration, attributes, modes and hooks. What is in one: tree.py; conversion.py and state.py do what they say."""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable
from typing import Any, TypeVar

from ingot._tensor import Tensor
from ingot.nn.modules.arguments import type_name
from ingot.nn.modules.conversion import Convertible
from ingot.nn.modules.hooks import BackwardHooks, RemovableHandle
from ingot.nn.modules.state import _EXTRA_STATE_KEY_SUFFIX, Hooks, Stateful, _IncompatibleKeys  # noqa: F401  (libraries take them)
from ingot.nn.parameter import Buffer, Parameter
from ingot.runtime import epoch
from ingot.runtime.recorder import here

__all__ = ["Module"]

T = TypeVar("T", bound="Module")

_FUNCTIONS = ("ingot.functions.", "ingot.nn.functional")
_KINDS = ("_parameters", "_buffers", "_modules")


class _Building(threading.local):
    depth = 0  # constructors of Modules that are running


_building = _Building()


def _whole(init: Callable) -> Callable:
    """A constructor that shares no graph with what its caller computes before or after: initialisation has code of its own."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if _building.depth:  # a part of another
            return init(self, *args, **kwargs)
        rec = here.recorder
        if rec.tracing:
            return init(self, *args, **kwargs)
        rec.begin_apart()
        _building.depth += 1
        try:
            init(self, *args, **kwargs)
        finally:
            _building.depth -= 1
            rec.end_apart()

    return __init__


@epoch.bumping(dict)
class Table(dict):
    """The parameters, buffers or submodules of a Module, by name. Changing it tells compiled functions to look again."""


class Module(Stateful, Convertible):
    """Base class of all layers and networks.

    Parameters, buffers and submodules assigned as attributes are found by `parameters()`, `state_dict()`,
    `to()` and the rest; `forward` says what a call computes.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.fc(x)
    >>> net = Net()
    >>> net(ingot.randn(3, 4)).shape
    ingot.Size([3, 2])
    >>> [name for name, p in net.named_parameters()]
    ['fc.weight', 'fc.bias']
    """

    training: bool
    _modules: dict[str, Module | None]
    # by the keys of hooks; a module has its own where it has such hooks
    _forward_pre_hooks_with_kwargs: dict[int, bool] = {}
    _forward_hooks_with_kwargs: dict[int, bool] = {}
    _forward_hooks_always_called: dict[int, bool] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("ingot."):
            for name, value in list(cls.__dict__.items()):
                if isinstance(value, types.FunctionType) and value.__module__.startswith(_FUNCTIONS):
                    setattr(cls, name, staticmethod(value))  # `conv = F.conv2d` in a class is no method: torch's functions never are
        if "__init__" in cls.__dict__:
            setattr(cls, "__init__", _whole(cls.__dict__["__init__"]))  # noqa: B010  (mypy refuses the assignment)

    def __init__(self) -> None:
        put = super().__setattr__
        put("training", True)
        for kind in _KINDS:
            put(kind, Table())
        put("_non_persistent_buffers_set", set())
        put("_forward_pre_hooks", {})
        put("_forward_hooks", {})
        put("_backward_hooks", {})
        put("_backward_pre_hooks", {})
        put("_state_hooks", Hooks())
        put("_compiled_call", None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call of the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # ---- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        compiled = self._compiled_call
        if compiled is not None:
            return compiled(*args, **kwargs)
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._forward_pre_hooks or self._forward_hooks or self._backward_hooks or self._backward_pre_hooks):
            return self.forward(*args, **kwargs)
        try:
            for key, hook in list(self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    result = hook(self, args, kwargs)
                    if result is not None:
                        if not (isinstance(result, tuple) and len(result) == 2):
                            raise RuntimeError(f"a forward pre-hook with kwargs returns None or (args, kwargs), but {result} came")
                        args, kwargs = result
                else:
                    result = hook(self, args)
                    if result is not None:
                        args = result if isinstance(result, tuple) else (result,)
            backward = None
            if self._backward_hooks or self._backward_pre_hooks:
                backward = BackwardHooks(self, list(self._backward_hooks.values()), list(self._backward_pre_hooks.values()))
                args = backward.inputs(args)
            output = self.forward(*args, **kwargs)
            for key, hook in list(self._forward_hooks.items()):
                result = hook(self, args, kwargs, output) if key in self._forward_hooks_with_kwargs else hook(self, args, output)
                if result is not None:
                    output = result
            return output if backward is None else backward.outputs(output)
        except BaseException:
            for key in list(self._forward_hooks_always_called):  # even when the call fails; their own failure must not hide the first one
                try:
                    given = (args, kwargs, None) if key in self._forward_hooks_with_kwargs else (args, None)
                    self._forward_hooks[key](self, *given)
                except Exception:
                    pass
            raise

    def compile(self, **options: Any) -> None:
        """Compile the module's calls in place, with `ingot.compile`'s options.

        >>> layer = nn.Linear(4, 2)
        >>> layer.compile()
        >>> layer(ingot.randn(3, 4)).shape
        ingot.Size([3, 2])
        """
        from ingot import capture  # not at the top: capture knows Modules

        self._compiled_call = capture.compile(self._call, **options)

    # ---- registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, reachable as an attribute. TypeError or KeyError for a wrong value or name.

        >>> module = nn.Module()
        >>> module.register_parameter("scale", nn.Parameter(ingot.ones(3)))
        >>> module.scale.shape
        ingot.Size([3])
        """
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{type_name(param)}' object to parameter '{name}' (ingot.nn.Parameter or None required)")
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"cannot assign non-leaf Tensor to parameter '{name}': parameters are leaves, without a grad_fn")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer: a tensor that is state but no parameter. A persistent one is part of `state_dict()`.

        >>> module = nn.Module()
        >>> module.register_buffer("steps", ingot.zeros(()))
        >>> list(module.state_dict())
        ['steps']
        """
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (ingot.Tensor or None required)")
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule, reachable as an attribute."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule, reachable as an attribute. TypeError or KeyError for a wrong value or name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name(name, "module", self._modules)
        self._modules[name] = module

    def _check_name(self, name: Any, what: str, table: dict) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type_name(name)}")
        if "." in name:
            raise KeyError(f"{what} name must not contain a dot, got: {name}")
        if name == "":
            raise KeyError(f"{what} name must not be empty")
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute '{name}' already exists")

    # ---- attributes

    def __getattr__(self, name: str) -> Any:
        d = self.__dict__
        for kind in _KINDS:
            table = d.get(kind)
            if table is not None and name in table:
                return table[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in d:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
            return
        parameters = d.get("_parameters")
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(f"cannot assign '{type_name(value)}' as parameter '{name}' (ingot.nn.Parameter or None expected)")
            self.register_parameter(name, None)
            return
        if isinstance(value, Module):
            if "_modules" not in d:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            d["_modules"][name] = value
            return
        modules = d.get("_modules")
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{type_name(value)}' as child module '{name}' (ingot.nn.Module or None expected)")
            modules[name] = None
            return
        buffers = d.get("_buffers")
        if isinstance(value, Buffer) and buffers is not None and name not in buffers:
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
            return
        if buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{type_name(value)}' as buffer '{name}' (ingot.nn.Buffer, ingot.Tensor or None expected)")
            buffers[name] = value
            return
        super().__setattr__(name, value)
        epoch.bump()

    def _forget(self, name: str, keep: str) -> None:
        """Drop `name` from everywhere but the table it is about to enter."""
        self.__dict__.pop(name, None)
        for kind in _KINDS:
            if kind != keep:
                self.__dict__[kind].pop(name, None)
        if keep != "_buffers":
            self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        for kind in _KINDS:
            if name in self.__dict__.get(kind, ()):
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                break
        else:
            super().__delattr__(name)
        epoch.bump()

    def __dir__(self) -> list[str]:
        names = set(super().__dir__()).union(*(self.__dict__[kind] for kind in _KINDS))
        return sorted(n for n in names if not n[0].isdigit())

    # ---- modes

    def train(self: T, mode: bool = True) -> T:
        """Set training mode here and below (dropout active, batch statistics used), by each submodule's own `train`. Returns the module.

        >>> nn.Dropout().eval().train().training
        True
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: T) -> T:
        """Set evaluation mode here and below. Returns the module.

        >>> nn.Sequential(nn.Dropout()).eval()[0].training
        False
        """
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Set `requires_grad` of all parameters: False freezes them. Returns the module.

        >>> nn.Linear(4, 2).requires_grad_(False).weight.requires_grad
        False
        """
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero)."""
        for p in self.parameters():
            if set_to_none:  # without looking at it: a compiled step need not know whether there was one
                p.grad = None
            elif p.grad is not None:
                p.grad.detach_()
                p.grad.zero_()

    def apply(self: T, fn: Callable[[Module], None]) -> T:
        """Call `fn` on every submodule, then on this one. Returns the module.

        >>> model = nn.Sequential(nn.Linear(2, 2)).apply(lambda m: isinstance(m, nn.Linear) and nn.init.ones_(m.weight))
        >>> model[0].weight.detach()
        tensor([[1., 1.],
                [1., 1.]])
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- hooks

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns replaces the arguments.

        prepend: before the other hooks. with_kwargs: `hook(module, args, kwargs)`, which returns both. Gives a handle to remove it.

        >>> layer = nn.Identity()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
        >>> layer(ingot.zeros(2))
        tensor([1., 1.])
        """
        return self._hooked("_forward_pre_hooks", hook, prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; what it returns replaces the output.

        prepend: before the other hooks. with_kwargs: `hook(module, args, kwargs, output)`. Gives a handle to remove it.

        >>> layer = nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(ingot.ones(2))
        tensor([2., 2.])
        """
        return self._hooked("_forward_hooks", hook, prepend, with_kwargs=with_kwargs, always_called=always_call)

    def _hooked(self, table: str, hook: Callable, prepend: bool, **ways: bool) -> RemovableHandle:
        """Put a hook in a table. In which of the `ways` it is called stands in tables beside it, as code that reads hooks expects."""
        names = [f"{table}_{way}" for way, wanted in ways.items() if wanted]
        for name in names:
            if name not in self.__dict__:
                super().__setattr__(name, {})
        handle = RemovableHandle(getattr(self, table), hook, prepend, extra_dict=[getattr(self, name) for name in names])
        for name in names:
            getattr(self, name)[handle.id] = True
        return handle

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known; it may replace them.

        >>> layer, x = nn.Linear(2, 1), ingot.ones(1, 2, requires_grad=True)
        >>> handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output: print(grad_output[0]))
        >>> layer(x).sum().backward()
        tensor([[1.]])
        """
        return RemovableHandle(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """`register_full_backward_hook`, by its old name."""
        return self.register_full_backward_hook(hook)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward; it may replace the gradients."""
        return RemovableHandle(self._backward_pre_hooks, hook, prepend)

    # ---- text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The arguments shown in the module's text."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + repr(m).replace("\n", "\n  ") for name, m in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"
