"""NumPy's names of arguments, which torch takes wherever it computes: `x.sum(axis=1, keepdims=True)`, `ingot.cat(xs, axis=0)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from ingot.functions.common import named

__all__: list[str] = []

_NAMES = {"dim": "axis", "keepdim": "keepdims"}


def with_numpy_names(fn: Callable) -> Callable:
    """`fn`, taking `axis` for `dim` and `keepdims` for `keepdim`; itself where it has neither."""
    if not isinstance(fn, FunctionType):
        return fn
    code = inspect.unwrap(fn).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    names = [(theirs, ours) for ours, theirs in _NAMES.items() if ours in own and theirs not in own]
    if not names:
        return fn

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for theirs, ours in names:
                if theirs in kwargs:
                    if ours in kwargs:
                        raise TypeError(f"{fn.__name__}() got both {ours!r} and {theirs!r}, which is NumPy's name of the same")
                    kwargs[ours] = kwargs.pop(theirs)
        return fn(*args, **kwargs)

    return call


def install(module: dict[str, Any], names: Iterable[str]) -> None:
    """Have functions of a module, by its globals, take NumPy's names, too; one that has several names stays one."""
    made: dict[Any, Callable] = {}
    for name in names:
        fn = module[name]
        if fn not in made:
            made[fn] = with_numpy_names(fn)
        module[name] = made[fn]


def methods(**functions: Any) -> dict[str, Any]:
    """Functions as methods of Tensor, under these names, which take NumPy's names, too."""
    return {name: with_numpy_names(named(function, name)) for name, function in functions.items()}
