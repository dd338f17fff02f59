"""`script` and `trace`: compiled functions and modules by torch.jit's names, saved and loaded as artifacts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any

import ingot
from ingot._tensor import Tensor
from ingot.artifacts import at_path
from ingot.capture import CompiledFunction, CompiledModule, flatten, unflatten
from ingot.nn.modules.module import Module

__all__ = ["ScriptFunction", "ScriptModule", "load", "save", "script", "trace", "trace_module"]

_Path = str | os.PathLike[str] | IO[bytes]


class _Scripted(type(Module)):  # type: ignore[misc]
    """Also what `script` makes of a module is a ScriptModule, while its class is the module's own."""

    def __instancecheck__(cls, obj: Any) -> bool:
        return type(obj) is _CompiledModule or super().__instancecheck__(obj)


class ScriptModule(Module, metaclass=_Scripted):
    """What `script`, `trace` and `load` give for modules. A subclass is a Module like any other."""


class _Like:
    """What an example argument was like: of a tensor its shape and dtype."""

    def __init__(self, value: Any):
        self.of = (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else None
        self.value = None if isinstance(value, Tensor) else value

    def make(self) -> Any:
        return self.value if self.of is None else ingot.zeros(self.of[0], dtype=self.of[1])


class _Examples:
    """Remembers what its first call was like, for `save`."""

    _like: Any = None

    def _remember(self, args: tuple) -> None:
        if self._like is None:
            leaves: list[Any] = []
            structure = flatten(args, leaves)
            object.__setattr__(self, "_like", (structure, [_Like(x) for x in leaves]))

    def _example(self) -> tuple:
        if self._like is None:
            raise RuntimeError("jit.save: what it is called with is not known: call it once, make it by jit.trace, or use ingot.export")
        structure, leaves = self._like
        return unflatten(structure, [x.make() for x in leaves])

    def save(self, f: Any, **kwargs: Any) -> None:
        """See `ingot.jit.save`."""
        save(self, f, **kwargs)


class ScriptFunction(_Examples, CompiledFunction):
    """A compiled function that `save` can write: what `script` and `trace` give for functions."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        if self._like is None and not kwargs:
            self._remember(args)
        return result


class _CompiledModule(_Examples, CompiledModule):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        if self._like is None and not kwargs:
            self._remember(args)
        return result


def script(
    obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None
) -> Any:  # fmt: skip
    """`obj`, a function or Module, compiled (see `ingot.compile`): when it is called, for the shapes it is called with. A class is itself.

    CaptureError, at the call, for what cannot be compiled. TypeError for what is neither.

    >>> @ingot.jit.script
    ... def scaled(x, factor: float = 2.0):
    ...     return x * factor
    >>> scaled(ingot.ones(2))
    tensor([2., 2.])
    """
    if isinstance(obj, (type, ScriptFunction)) or type(obj) is _CompiledModule:
        return obj
    if isinstance(obj, CompiledModule):
        return _CompiledModule(obj._orig_mod)
    if isinstance(obj, Module):
        return _CompiledModule(obj)
    if isinstance(obj, (dict, list)):
        return obj
    return ScriptFunction(obj.__wrapped__ if isinstance(obj, CompiledFunction) else obj)


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Any = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: Any = None,
    _compilation_unit: Any = None,
    example_kwarg_inputs: dict[str, Any] | None = None,
    _store_inputs: bool = True,
) -> Any:
    """`script` of a function or Module, compiled at once for `example_inputs`: a tuple of the arguments, or the only one.

    Called with other shapes it is compiled for these: unlike torch's, a trace is never wrong for other inputs.

    >>> model = ingot.jit.trace(nn.Linear(3, 2), ingot.zeros(1, 3))
    >>> model(ingot.zeros(5, 3)).shape
    ingot.Size([5, 2])
    """
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_kwarg_inputs should be a dict" if example_inputs is None else "example_inputs is missing")
    args = () if example_inputs is None else example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    made = script(func)
    with ingot.no_grad():
        made(*args, **(example_kwarg_inputs or {}))
    return made


def trace_module(mod: Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """`trace` of a Module for the example inputs of its methods: {"forward": inputs, "encode": inputs}. Other methods are compiled too."""
    made = script(mod)
    for name, example in inputs.items():
        example = example if isinstance(example, (tuple, list)) else (example,)
        if name == "forward":
            made(*example)
        else:
            method = ScriptFunction(getattr(mod, name))
            method(*example)
            object.__setattr__(made, name, method)
    return made


def save(m: Any, f: _Path, _extra_files: Any = None) -> None:
    """Write what `script` or `trace` made as an artifact, to a path or a binary file: see `ingot.export`, which this is.

    It is written for the shapes that it was first called with. RuntimeError for a model that was never called, for extra files, and
    for what an artifact cannot do.

    >>> ingot.jit.save(ingot.jit.trace(nn.Linear(3, 2).eval(), ingot.zeros(1, 3)), "linear.ingot")
    >>> ingot.jit.load("linear.ingot")(ingot.zeros(1, 3)).shape
    ingot.Size([1, 2])
    """
    if _extra_files:
        raise RuntimeError("jit.save: an artifact holds a model alone, and no extra files")
    if not isinstance(m, _Examples):
        raise RuntimeError(f"jit.save takes what jit.script or jit.trace made, not {type(m).__name__}; ingot.save writes state dicts")
    with at_path(f, "wb") as path:
        ingot.export(m, m._example(), path)


class _Loaded(ScriptModule):
    """An artifact as a Module."""

    def __init__(self, model: Callable):
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)


def load(f: _Path, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False) -> Any:
    """Open an artifact, from a path or a binary file, as a ScriptModule: it computes what was saved, and is not trained further.

    A file of torch's TorchScript is refused by name: its code is torch's own.
    """
    with at_path(f, "rb") as path:
        found = ingot.load(path, map_location)
    if not callable(found):
        raise RuntimeError(f"jit.load: {os.fspath(path)} holds no model; ingot.load reads it")
    return _Loaded(found)
