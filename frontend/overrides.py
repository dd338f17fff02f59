"""`__torch_function__`: classes and blocks that say what functions do with them.

    class Tagged(ingot.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            out = super().__torch_function__(func, types, args, kwargs)  # func, on what these are as Tensors; the result a Tagged
            ...

What functions and methods give for a user's subclass of Tensor is of that subclass, as in torch. Inside of a `TorchFunctionMode` block
every call comes to the block. A class that is no Tensor may say `__torch_function__` too, once `install()` was called.

Until there is such a class or block, nothing here is in the way of a call: the first one has the public functions replaced by such that
look at their arguments (`install`). A function that was imported by its name before that stays as it was.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.overriding import DisableTorchFunctionSubclass, disabled_torch_function, operands, state
from ingot.functions.methods import complete
from ingot.functions.operators import OPERATORS
from ingot.ir.dtypes import DType
from ingot.nn.parameter import Parameter

__all__ = [
    "BaseTorchFunctionMode", "DisableTorchFunction", "DisableTorchFunctionSubclass", "TorchFunctionMode", "get_default_nowrap_functions",
    "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic", "install",
    "is_tensor_like", "resolve_name", "wrap_torch_function",
]  # fmt: skip

_HOMES = ("ingot", "ingot.nn.functional", "ingot.linalg", "ingot.special", "ingot.fft")
# take any object, and ask none: those of torch.overrides.get_ignored_functions to which an object that answers may be given
_NOT_ASKING = frozenset({"compile", "is_storage", "is_tensor", "load", "save", "typename", "vmap"})
_PLAIN = frozenset("numel dim size stride item tolist numpy data_ptr backward register_hook retain_grad as_subclass".split())
_OPERATORS = frozenset(
    [f"__{kind}{n}__" for n in (*OPERATORS, "matmul") for kind in ("", "r", "i")]
    + [f"__{n}__" for n in "neg pos abs invert eq ne lt le gt ge getitem setitem".split()]
)
_QUIET = frozenset((Tensor, Parameter, int, float, bool, str, complex, type(None), DType))  # classes that say nothing
_LOCK = threading.RLock()
_functions_seen: dict[Callable, Callable] = {}  # a function -> what looks at its arguments first
_methods_seen: dict[Callable, Callable] = {}
_done: set[str] = set()  # "functions", "methods": what has been replaced


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """A block in which neither arguments nor modes are asked."""

    def __enter__(self) -> None:
        super().__enter__()
        self._modes, state.modes = state.modes, ()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        state.modes = self._modes


class TorchFunctionMode:
    """A block in which every call of a public function or a method comes to `__torch_function__`, which a subclass defines.

    There, the block itself is not in force: `func(*args, **kwargs)` is the call as it would have been.

        class Count(ingot.overrides.TorchFunctionMode):
            n = 0

            def __torch_function__(self, func, types, args=(), kwargs=None):
                self.n += 1
                return func(*args, **(kwargs or {}))

        with Count() as count:
            y = ingot.ones(2) + 1  # count.n is 2
    """

    def __torch_function__(self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """What a call gives; `types` are those of the arguments that say something themselves."""
        raise NotImplementedError(f"{type(self).__name__} does not define __torch_function__")

    def __enter__(self) -> Any:
        install(methods=True)
        state.modes = (*state.modes, self)
        return self

    def __exit__(self, *exc: object) -> None:
        state.modes = state.modes[:-1]


class BaseTorchFunctionMode(TorchFunctionMode):
    """The mode that changes nothing."""

    def __torch_function__(self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """The call as it is."""
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _without_top() -> Iterator[Any]:
    was = state.modes
    state.modes = was[:-1]
    try:
        yield was[-1]
    finally:
        state.modes = was


# ---- who is asked


def _says(x: Any) -> bool:
    cls = type(x)
    if cls is Tensor:
        return False
    found = getattr(cls, "__torch_function__", None)
    return found is not None and found is not disabled_torch_function and not _is_torch_s(cls)


def _is_torch_s(cls: type) -> bool:
    """Whether it is a Tensor of torch's: what that says is about torch's functions, and would have ours called again and again."""
    return any(c.__module__ == "torch" and c.__name__ == "Tensor" for c in cls.__mro__)


def _overloaded(relevant: Iterable[Any]) -> list[Any]:
    """The arguments to ask, one of a class, subclasses before their bases."""
    found: list[Any] = []
    for x in relevant:
        if _says(x) and not any(type(x) is type(y) for y in found):
            at = next((i for i, y in enumerate(found) if issubclass(type(x), type(y))), len(found))
            found.insert(at, x)
    return found


def _flat(args: Iterable[Any]) -> Iterator[Any]:
    for a in args:
        if isinstance(a, (list, tuple)):
            yield from a
        else:
            yield a


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether an argument, or a block, has something to say.

    >>> ingot.overrides.has_torch_function((ingot.ones(1), 2))
    False
    """
    return bool(state.modes) or (state.subclasses and any(map(_says, relevant_args)))


def has_torch_function_unary(x: Any) -> bool:
    """`has_torch_function` of one argument."""
    return has_torch_function((x,))


def has_torch_function_variadic(*args: Any) -> bool:
    """`has_torch_function` of arguments."""
    return has_torch_function(args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """What the innermost block, else the arguments say of a call. TypeError where all give NotImplemented."""
    found = _overloaded(relevant_args) if state.subclasses else []
    types = tuple(type(x) for x in found)
    if state.modes:
        with _without_top() as mode:
            out = mode.__torch_function__(public_api, types, args, kwargs)
        if out is not NotImplemented:
            return out
    for x in found:
        out = type(x).__torch_function__(public_api, types, args, kwargs)
        if out is not NotImplemented:
            return out
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {[type(x) for x in found]}")


def wrap_torch_function(dispatcher: Callable) -> Callable[[Callable], Callable]:
    """A decorator: a function that asks what dispatcher(*args, **kwargs) gives of its arguments."""

    def decorator(fn: Callable) -> Callable:
        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            return handle_torch_function(fn, relevant, *args, **kwargs) if has_torch_function(relevant) else fn(*args, **kwargs)

        return call

    return decorator


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a Tensor or says `__torch_function__`.

    >>> ingot.overrides.is_tensor_like(ingot.ones(1)), ingot.overrides.is_tensor_like(1)
    (True, False)
    """
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def resolve_name(f: Callable) -> str:
    """A function's name for people."""
    return f"{f.__module__.replace('ingot.functions', 'ingot')}.{f.__qualname__}"


def get_default_nowrap_functions() -> set[Callable]:
    """The methods whose results do not become of a subclass."""
    return {Tensor.backward, Tensor.register_hook, Tensor.retain_grad}


def of_class(result: Any, cls: type) -> Any:
    """Tensors in a result as such of `cls`."""
    if type(result) is Tensor:
        return result.as_subclass(cls)
    if isinstance(result, (list, tuple)):
        made = [of_class(r, cls) for r in result]
        return type(result)(*made) if hasattr(result, "_fields") else type(result)(made)
    return result


# ---- what looks


def _looking(fn: Callable, method: bool) -> Callable:
    """`fn`, asking blocks and arguments first. They are told what `ingot`, or Tensor, has by its name."""
    known = _methods_seen if method else _functions_seen
    if fn not in known:

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not kwargs and "methods" not in _done and all([type(a) in _QUIET for a in args]):  # the short way of most calls
                return fn(*args)
            relevant = [*_flat(args), *_flat(kwargs.values())]
            if not has_torch_function(relevant):
                return fn(*args, **kwargs)
            return handle_torch_function(call if not method or "methods" in _done else fn, relevant, *operands(fn, args), **kwargs)

        known[fn] = known[call] = call
    return known[fn]


def _methods(cls: type) -> Iterator[tuple[str, Callable, bool]]:
    """The methods of Tensor that ask, and whether `cls`, Tensor or a subclass, has them from there."""
    for base in Tensor.__mro__[:-1]:
        for name, value in vars(base).items():
            if isinstance(value, FunctionType) and (name in _OPERATORS or not (name.startswith("_") or name in _PLAIN)):
                fn = getattr(Tensor, name)
                yield name, fn, getattr(cls, name, None) is fn


def install(methods: bool = False) -> None:
    """Have public functions ask their arguments; with `methods`, those of every Tensor, too."""
    with _LOCK:
        if "functions" not in _done:
            _done.add("functions")
            for home in _HOMES:
                module = importlib.import_module(home)
                for name in {*dir(module)} - _NOT_ASKING:
                    fn = getattr(module, name, None)
                    if isinstance(fn, FunctionType) and fn.__module__.startswith("ingot.") and fn.__module__ != __name__:
                        setattr(module, name, _looking(fn, False))
        if methods and "methods" not in _done:
            _done.add("methods")
            complete()
            for name, fn, _ in list(_methods(Tensor)):
                type.__setattr__(Tensor, name, _looking(fn, True))  # around its class: nothing that is computed changes


def subclassed(cls: Any) -> None:
    """A subclass of Tensor was made by a user: its methods ask first, unless it is to be taken as a Tensor."""
    if cls.__torch_function__ is not disabled_torch_function:
        install()
        complete()
        for name, fn, has in list(_methods(cls)):
            setattr(cls if has else Tensor, name, _looking(fn, True))  # what calls super() wants the subclass, too
