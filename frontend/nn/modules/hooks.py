"""Hooks of modules: removable handles, and the boundary through which backward hooks see gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ingot._tensor import Tensor
from ingot.runtime import epoch

__all__ = ["RemovableHandle", "BackwardHooks"]

_ids = itertools.count()


class RemovableHandle:
    """What `register_*_hook` returns: `remove()` takes the hook off again; also a context manager.

    Classes with hooks of their own make one of the dict they keep them in, and put the hook there at its `id`.
    extra_dict: a dict, or a list of such, from which the id is taken, too.

    >>> layer = nn.Linear(2, 3)
    >>> handle = layer.register_forward_hook(lambda module, args, output: print(output.shape))
    >>> y = layer(ingot.ones(1, 2))
    ingot.Size([1, 3])
    >>> handle.remove()
    """

    def __init__(self, hooks_dict: Any, hook: Any = None, prepend: bool = False, *, extra_dict: Any = None):
        self.id = next(_ids)
        self._hooks = hooks = hooks_dict
        self._beside: list[Any] = [] if extra_dict is None else extra_dict if isinstance(extra_dict, list) else [extra_dict]
        epoch.bump()
        if hook is None:
            return
        hooks[self.id] = hook
        if prepend:
            for key in [k for k in hooks if k != self.id]:
                hooks[key] = hooks.pop(key)

    def remove(self) -> None:
        """Take the hook off. Calling it twice is harmless."""
        for table in (self._hooks, *self._beside):
            table.pop(self.id, None)
        epoch.bump()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _cross(seen: Callable, values: Any) -> tuple[Any, bool]:
    """`values` with its differentiable tensors sent through a boundary, and whether there were any."""
    single = isinstance(values, Tensor)
    items = [values] if single else list(values) if isinstance(values, (tuple, list)) else None
    if items is None:
        return values, False
    at = [i for i, v in enumerate(items) if isinstance(v, Tensor) and v.requires_grad]
    if not at:
        return values, False

    def scattered(grads: tuple) -> tuple:
        full: list[Any] = [None] * len(items)
        for i, g in zip(at, grads):
            full[i] = g
        new = seen(tuple(full))
        return tuple(new[i] for i in at)

    from ingot.nn.modules.boundary import Boundary

    for i, t in zip(at, Boundary.apply(scattered, *[items[i] for i in at])):
        items[i] = t
    return (items[0] if single else type(values)(items)), True


class BackwardHooks:
    """One call's backward hooks: `inputs` and `outputs` send the module's tensors through boundaries."""

    def __init__(self, module: Any, hooks: list[Callable], pre_hooks: list[Callable]):
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_output: tuple | None = None
        self.inputs_need_grad = False
        self.n_inputs = 0

    def inputs(self, args: tuple) -> tuple:
        self.n_inputs = len(args)
        args, self.inputs_need_grad = _cross(self._run, args)
        return args

    def outputs(self, result: Any) -> Any:
        return _cross(self._at_outputs, result)[0]

    def _at_outputs(self, grads: tuple) -> tuple:
        for hook in self.pre_hooks:
            grads = _replaced(hook(self.module, grads), grads, "backward pre-hook")
        self.grad_output = grads
        if not self.inputs_need_grad:
            self._run((None,) * self.n_inputs)
        return grads

    def _run(self, grads: tuple) -> tuple:
        if self.grad_output is None:
            return grads
        for hook in self.hooks:
            grads = _replaced(hook(self.module, grads, self.grad_output), grads, "backward hook")
        return grads


def _replaced(result: Any, grads: tuple, what: str) -> tuple:
    if result is None:
        return grads
    new = result if isinstance(result, tuple) else (result,)
    if len(new) != len(grads):
        raise RuntimeError(f"{what} returned {len(new)} gradients where there are {len(grads)}")
    return new
