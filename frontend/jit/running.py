"""What torch.jit has for running: futures, and requests to optimize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ingot.futures import Future
from ingot.jit.compiled import ScriptModule

__all__ = ["Error", "Future", "TracerWarning", "fork", "freeze", "optimize_for_inference", "set_fusion_strategy", "strict_fusion", "wait"]

T = TypeVar("T")


class Error(RuntimeError):
    """What torch raises where TorchScript fails. Nothing raises it here; a function that cannot be captured is a CaptureError."""


class TracerWarning(Warning):
    """What torch warns with where tracing loses a branch. Nothing warns with it here: such a branch is a CaptureError."""


def fork(func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """Call the function now; its operations are computed when something needs them, several cores each.

    >>> ingot.jit.wait(ingot.jit.fork(ingot.add, ingot.ones(1), 2))
    tensor([3.])
    """
    made: Future[T] = Future()
    made.set_result(func(*args, **kwargs))
    return made


def wait(future: Future[T]) -> T:
    """The result of a `fork`."""
    return future.wait()


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The module, which must be in evaluation mode (RuntimeError): artifacts hold its weights, and code in memory reads them in place.

    >>> model = ingot.jit.script(nn.Linear(2, 2).eval())
    >>> ingot.jit.freeze(model) is model
    True
    """
    if not isinstance(mod, ScriptModule):
        raise RuntimeError("Freezing expects a ScriptModule: what jit.script or jit.trace makes of a Module")
    if mod.training:
        raise RuntimeError("Freezing expects a module in eval mode: call .eval() on it before")
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module, in evaluation mode: compiling optimizes."""
    return mod.eval() if mod.training else mod


_STRATEGY: list[list[tuple[str, int]]] = [[("STATIC", 1)]]


def set_fusion_strategy(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Accepted for torch's sake, and without effect; the strategy that was set before."""
    before, _STRATEGY[0] = _STRATEGY[0], list(strategy)
    return before


class strict_fusion:
    """A block without effect: a compiled function is one graph, or refused."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None
