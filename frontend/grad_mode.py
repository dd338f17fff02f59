"""Whether operations are put on the tape: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ingot.runtime.recorder import here

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled"]

F = TypeVar("F", bound=Callable)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded on the tape in this thread."""
    return here.recorder.grad_enabled


class _DecoratorContextManager:
    """A context manager that is also a decorator, for functions and generators: a new one for each call."""

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exc: Any) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """One like it."""
        return type(self)()

    def __call__(self, fn: F) -> F:
        if inspect.isgeneratorfunction(fn):

            @functools.wraps(fn)
            def generator(*args: Any, **kwargs: Any) -> Any:
                inner = fn(*args, **kwargs)
                sent: Any = None
                try:
                    while True:
                        with self.clone():
                            value = inner.send(sent)
                        sent = yield value
                except StopIteration as stop:
                    return stop.value
                finally:
                    inner.close()

            return generator  # type: ignore[return-value]

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return fn(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class _Mode(_DecoratorContextManager):
    """A context manager that turns the tape on or off."""

    _enabled: bool

    def __init__(self) -> None:
        self._stack: list[bool] = []

    def __enter__(self) -> Any:
        rec = here.recorder
        self._stack.append(rec.grad_enabled)
        rec.grad_enabled = self._enabled
        return None

    def __exit__(self, *exc: Any) -> None:
        here.recorder.grad_enabled = self._stack.pop()


class _Fixed(_Mode):
    """A mode that sets what its class says; without parentheses, a decorator."""

    def __new__(cls, fn: Callable | None = None) -> Any:
        mode = super().__new__(cls)
        if fn is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(fn)


class no_grad(_Fixed):
    """Inside it nothing is put on the tape, and results need no gradient.

    >>> x = ingot.ones(2, requires_grad=True)
    >>> with ingot.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _enabled = False


class enable_grad(_Fixed):
    """Turns the tape on again inside a `no_grad`."""

    _enabled = True


class set_grad_enabled(_Mode):
    """Turns the tape on or off: at once as a function, until the end of the block as a context manager."""

    def __init__(self, mode: bool):
        super().__init__()
        self._enabled = bool(mode)
        rec = here.recorder
        self._before = rec.grad_enabled
        rec.grad_enabled = self._enabled

    def __enter__(self) -> None:
        here.recorder.grad_enabled = self._enabled
        self._stack.append(self._before)

    def clone(self) -> _Mode:
        return set_grad_enabled(self._enabled)

    def __call__(self, fn: F) -> F:
        here.recorder.grad_enabled = self._before
        return super().__call__(fn)


class inference_mode(_Mode):
    """Like `no_grad`, for code that never needs gradients: `inference_mode()`, or `inference_mode(False)` to leave it."""

    def __init__(self, mode: bool = True):
        super().__init__()
        self._mode = bool(mode)
        self._enabled = not self._mode

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            made = super().__new__(cls)
            made.__init__(True)  # type: ignore[misc]
            return made(mode)
        return super().__new__(cls)

    def __enter__(self) -> None:
        super().__enter__()
        rec = here.recorder
        if not self._mode:
            rec.grad_enabled = True
        rec.inference += self._mode

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        here.recorder.inference -= self._mode

    def clone(self) -> _Mode:
        return inference_mode(self._mode)


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return here.recorder.inference > 0
