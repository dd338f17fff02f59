"""What the leaves of a call's arguments are called: `x`, `batch[0]`, `options['lr']`. For people, never for keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ingot.capture.pytree import LEAF, named
from ingot.capture.roots import is_module

__all__ = ["leaf_names", "parameter_names"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameter_names(fn: Callable) -> tuple[list[str], str | None]:
    """(names of the positional parameters, name of the one that takes the rest, if any); those of `forward` for a Module's call.

    A Module whose `forward` takes whatever comes may say in `input_names` what that is, as a loaded model does.
    """
    target = getattr(fn, "__self__", None)
    described = target.forward if target is not None and is_module(target) else fn
    try:
        parameters = inspect.signature(described).parameters.values()
    except (TypeError, ValueError):
        return [], None
    rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    names = [p.name for p in parameters if p.kind in _POSITIONAL]
    own = getattr(target, "input_names", None) if rest and not names and described is not fn else None
    return (list(own), rest) if isinstance(own, list) else (names, rest)


def leaf_names(fn: Callable, structure: Any) -> list[str]:
    """The names of the leaves of `(args, kwargs)`, whose structure is given, in their order, and of attributes that came with them.

    >>> from ingot.capture.pytree import flatten
    >>> leaf_names(lambda x, *more: None, flatten(((1, 2, (3, 4)), {"k": 5}), []))
    ['x', 'more[0]', 'more[1][0]', 'more[1][1]', 'k']
    """
    names, rest = parameter_names(fn)
    _, args, kwargs, *attached = structure
    found: list[str] = []
    for i, s in enumerate(args[1:]):
        name = names[i] if i < len(names) else f"{rest}[{i - len(names)}]" if rest else f"argument {i}"
        found += _below(name, s)
    for name, s in zip(kwargs[1], kwargs[2:]):
        found += _below(str(name), s)
    for parts in attached:
        for i, s in zip(parts[1], parts[2:]):
            for name, inner in zip(s[1], s[2:]):
                found += _below(f"{found[i]}.{name}", inner)
    return found


def _below(name: str, structure: Any) -> Iterator[str]:
    if structure is LEAF:
        yield name
        return
    kind = structure[0]
    if named(kind):
        for key, s in zip(structure[1], structure[2:]):
            yield from _below(f"{name}[{key!r}]" if issubclass(kind, dict) else f"{name}.{key}", s)
        return
    fields = getattr(kind, "_fields", None)
    for i, s in enumerate(structure[1:]):
        yield from _below(f"{name}.{fields[i]}" if fields else f"{name}[{i}]", s)
