"""`ingot.compile`, and what it makes of a Module."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from ingot.capture.function import CompiledFunction
from ingot.capture.roots import is_module
from ingot.capture.traced import Traced
from ingot.runtime.frozen import refusing
from ingot.runtime.recorder import here

__all__ = ["CompiledModule", "compile", "frozen", "trace_call"]


class CompiledModule:
    """A Module whose calls are compiled. Everything else (parameters, train(), state_dict(), attributes) is the Module's own."""

    def __init__(self, module: Any, **options: Any):
        object.__setattr__(self, "_orig_mod", module)
        object.__setattr__(self, "_compiled", CompiledFunction(module._call, name=type(module).__name__, **options))

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return type(self._orig_mod)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __iter__(self) -> Any:
        return iter(self._orig_mod)

    def __getitem__(self, i: Any) -> Any:
        return self._orig_mod[i]

    def __dir__(self) -> list[str]:
        return dir(self._orig_mod)

    def __repr__(self) -> str:
        return f"Compiled{self._orig_mod!r}"

    @property
    def stats(self) -> dict[str, int]:
        """See CompiledFunction."""
        return self._compiled.stats


def compile(
    fn: Any = None,
    *,
    mode: str | None = None,
    static: Sequence[str] = (),
    fullgraph: bool = True,
    dynamic: Any = None,
    backend: str | None = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """Compile a function, a bound method or a Module; also a decorator, with or without options.

    The first call with a new signature (structure, shapes and dtypes of the arguments) traces the function and compiles one
    native function; later calls run it. Tensors that the function reads and that are not arguments are captured by reference:
    parameters, buffers, gradients and optimizer state are read and written where they are, so a whole training step can be
    compiled and behaves as it does eagerly. Python floats among the arguments are run-time numbers; bools and strings are static, and
    so are the parameters named in `static`.

    dynamic: a dim of an argument, or an int, that comes with a second value is a run-time size from then on, and no further value is
    compiled for; likewise numbers in attributes, globals, closures, dicts, lists and tuples, and sizes of tensors that calls keep there.
    What Python reads of such a size remembers what it is of: it can be calculated with, a comparison holds as long as it comes out the
    same, and where Python needs the plain number (`range`, a list's length, a look-up) that size is compiled for each value;
    INGOT_LOG=recompiles tells the line. With True all dims are run-time sizes
    from the first call on, with False none ever is. Or it says which: what torch.export takes as `dynamic_shapes`, such as
    {"x": {0: Dim("batch", max=64)}}, and then the others are static. See also `mark_dynamic` and `mark_static`.

    mode="frozen": after the first signature nothing more is compiled: another one is served if the cache holds its code, else
    there is a FrozenError that names the argument and the difference. `ingot.frozen()` and INGOT_FROZEN=1 refuse the first too.

    torch's arguments are accepted: `disable=True` gives the function back; `fullgraph`, torch's modes and the backend "inductor" ask for
    what is always so here (one graph), or are hints that change no result.

    Whatever Python state the function reads beside its arguments (globals, closures, defaults, attributes of objects, classes and
    modules, lists and dicts, methods and the code of functions, context variables, the environment) is watched; when it changes, the
    function is compiled again. What it never looks at does not count. Not seen is what the standard library and modules in C keep for
    themselves, such as the present thread's name or decimal's context, and what is replaced within Ingot and NumPy;
    INGOT_CHECK=capture traces at every call and compares.

    To look into it: `ingot.debug.print` prints at each call, a plain `print` the shape and dtype while the function is traced, and with
    INGOT_COMPILE=0 functions run as they are, without compiling.

    Raises CaptureError, with the user's line, for what cannot be compiled: a branch on a tensor's value, making it a number; and for what
    later calls would not do again: reading the clock, a file or the machine's state, drawing Python's or NumPy's random numbers, taking
    an iterator's next item, seeding a generator, a scheduler's step. LeakedTensorError for a tensor that is kept after the call outside
    of attributes, dicts, lists, globals and variables of enclosing functions.

    >>> model = nn.Linear(4, 3)
    >>> optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)
    >>> @ingot.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = F.cross_entropy(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = ingot.ones(2, 4), ingot.tensor([0, 2])
    >>> first = step(x, y).item()
    >>> step(x, y).item() < first
    True

    >>> rows = ingot.compile(lambda x: x.sum(0) / x.shape[0])
    >>> [rows(ingot.ones(n, 2)).tolist() for n in (2, 3, 4)]
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    if backend not in (None, "inductor"):
        raise ValueError(f"ingot.compile has no backend {backend!r}: there is one, its own")
    if options:
        raise ValueError("ingot.compile takes no options of torch's backends")
    if fn is None:
        return functools.partial(
            compile, mode=mode, static=static, fullgraph=fullgraph, dynamic=dynamic, backend=backend, disable=disable
        )
    if disable:
        return fn
    if is_module(fn):
        if static:
            raise ValueError("static names parameters of a function; a Module's call has none")
        return CompiledModule(fn, mode=mode, dynamic=dynamic)
    if isinstance(fn, CompiledFunction):
        fn = fn.__wrapped__
    return CompiledFunction(fn, mode, static, dynamic=dynamic)


@contextlib.contextmanager
def frozen(on: bool = True) -> Iterator[None]:
    """Refuse to compile within the block, in this thread: code that the cache does not hold raises FrozenError.

    What was recorded before it is computed first. `frozen(False)` permits compiling again, also where the environment or a decorator
    forbids it.

    >>> with ingot.frozen():
    ...     ingot.ones(2, 3, 5, 7).sin().numpy()
    Traceback (most recent call last):
    ingot.runtime.frozen.FrozenError: ...
    """
    here.recorder.cut()
    with refusing(on):
        yield


def trace_call(fn: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Traced, list[Any]]:
    """What a call of `fn`, which `compile` has made, would compile, and its argument leaves. Nothing is compiled, run or remembered.

    CaptureError for what cannot be compiled; what the function raises comes through.

    >>> traced, leaves = trace_call(ingot.compile(lambda x: x + 1), (ingot.zeros(3),), {})
    >>> print(*traced.graph.input_names, *traced.graph.out_types)
    x f32[3]
    """
    if isinstance(fn, functools.partial):  # a method of a decorated function
        return trace_call(fn.func, (*fn.args, *args), {**fn.keywords, **kwargs})
    f = fn._compiled if isinstance(fn, CompiledModule) else fn
    return f._trace(args, kwargs)
