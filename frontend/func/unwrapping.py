"""`debug_unwrap` and `functionalize`."""

from __future__ import annotations

from collections.abc import Callable

from ingot._tensor import Tensor, wrap
from ingot.runtime.recorder import here

__all__ = ["debug_unwrap", "functionalize"]


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """What a tensor inside of `vmap` or `jvp` stands for: the batch, or the value without its tangent. For looking at while debugging.

    recurse: through all transforms that run, else through the innermost alone. Outside of them, the tensor itself.

    >>> def f(x):
    ...     print(ingot.func.debug_unwrap(x))
    ...     return x
    >>> _ = ingot.func.vmap(f)(ingot.arange(3.0))
    tensor([0., 1., 2.])
    """
    rec = here.recorder
    if not rec.level or tensor._array.source is not rec:
        return tensor
    pair = tensor._now().value[0]
    with rec.left():
        out: Tensor = wrap(pair)
        return debug_unwrap(out) if recurse else out


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """`func` itself: what is recorded is free of mutations and of views as it is.

    remove: "mutations" or "mutations_and_views", else RuntimeError.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}")
    return func
