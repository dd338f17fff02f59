"""`ingot.compile`: a function becomes one native function per signature."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor, get_default_dtype
from ingot.capture.argnames import leaf_names
from ingot.capture.errors import CaptureError
from ingot.capture.fastcall import MISS, fast_call
from ingot.capture.pytree import flatten, named
from ingot.capture.roots import is_module
from ingot.capture.specialization import Specialization, shared_memory
from ingot.capture.specialize import specialize
from ingot.ir.dtypes import DType
from ingot.runtime import log, switches
from ingot.runtime.frozen import FrozenError, frozen_by_default
from ingot.runtime.recorder import here

__all__ = ["CompiledFunction", "CompiledModule", "RECOMPILES", "compile"]

_LIMIT = 64  # specialisations of one function; the one unused for the longest goes
RECOMPILES: Counter[str] = Counter()  # of this process, by function
_TORCH_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_STATIC = (int, bool, str, bytes, type(None))


class CompiledFunction:
    """A function that is traced once per signature and then runs as native code. Made by `ingot.compile`.

    `stats` counts calls by what they did: {"calls": ..., "traces": ..., "recompiles": ...}; `recompiles` counts the latter
    by reason.
    """

    def __init__(self, fn: Callable, mode: str | None = None, static: Sequence[str] = (), name: str | None = None):
        if not callable(fn):
            raise TypeError(f"ingot.compile takes a function or a Module, not {type(fn).__name__}")
        if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(f"ingot.compile cannot compile {getattr(fn, '__name__', fn)}: generators and coroutines have no single result")
        if mode not in (None, "frozen", *_TORCH_MODES):
            raise ValueError(f"mode is None or 'frozen' (or one of torch's, {', '.join(_TORCH_MODES)}, which change nothing), not {mode!r}")
        functools.update_wrapper(self, fn, updated=())
        self.__wrapped__ = fn
        self.mode = mode
        self.name: str = name or getattr(fn, "__name__", None) or type(fn).__name__
        self.stats = {"calls": 0, "traces": 0, "recompiles": 0}
        self.recompiles: Counter[str] = Counter()
        self._static = _static_positions(fn, static)
        self._specs: dict[Any, list[tuple[Specialization, Any]]] = {}
        self._latest: Specialization | None = None  # the one that `_fast` serves
        self._fast: Callable[..., Any] = _miss
        self._fast_count = -1  # positional arguments that it takes

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.name}: {sum(map(len, self._specs.values()))} specialisations>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs and len(args) == self._fast_count:
            result = self._fast(*args)
            if result is not MISS:
                return result
        return self._long(args, kwargs)

    def _long(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The call, with everything looked at."""
        rec = here.recorder
        if rec.tracing:
            return self.__wrapped__(*args, **kwargs)  # inlined into what is being compiled
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        numbers, key = self._key(structure, leaves, rec)
        self.stats["calls"] += 1
        found = self._specs.get(key)
        reason = None
        if found is not None:
            for entry in found:
                spec, guards = entry
                failed = guards.failed() or guards.aliased(leaves)
                if failed is None:
                    if "capture" in switches.get("INGOT_CHECK"):
                        self._check(spec, structure, leaves, numbers)
                    elif self._latest is not spec:
                        self._prepare(spec, guards, args, kwargs, leaves, numbers, rec)
                    return spec.call(leaves)
                reason = reason or failed
        spec = self._specialize(key, structure, leaves, numbers, reason)
        return spec.call(leaves)

    def _prepare(
        self, spec: Specialization, guards: Any, args: tuple, kwargs: dict, leaves: list, numbers: Sequence[int], rec: Any
    ) -> None:
        """From the second call of a specialisation on, calls like it go the short way."""
        self._latest = spec
        self._fast, self._fast_count = _miss, -1
        if kwargs or len(args) != len(leaves):
            return
        fast = fast_call(spec, guards, args, numbers, rec.grad_enabled, self.stats)
        if fast is not None:
            self._fast, self._fast_count = fast, len(args)

    # ---- signatures

    def _key(self, structure: Any, leaves: list[Any], rec: Any) -> tuple[tuple[int, ...], Any]:
        key: list[Any] = [structure, rec.grad_enabled, get_default_dtype()]
        numbers: list[int] = []
        tensors: dict[int, int] = {}
        storages: dict[int, int] = {}
        for i, x in enumerate(leaves):
            if isinstance(x, Tensor):
                if shared_memory(x) is None:
                    x._now()
                first = tensors.setdefault(id(x), i)
                shared: Any = None
                if x._storage is not None:
                    shared = storages.setdefault(id(x._storage), i)
                    if shared != i or any(isinstance(y, Tensor) and y is not x and y._storage is x._storage for y in leaves):
                        shared = _Identity(x)  # shares memory with another argument: known by reference
                    else:
                        shared = None
                slot = x._slot
                key.append((x._array.type, type(x), x._edge is not None, first, shared, slot is not None and slot.grad is not None))
            elif type(x) is float or isinstance(x, np.floating):
                if i in self._static_leaves(structure):
                    key.append((float, repr(x)))
                else:
                    numbers.append(i)
                    key.append(float)
            elif isinstance(x, np.ndarray):
                name = leaf_names(self.__wrapped__, structure)[i]
                raise TypeError(f"{self.name}: argument {name} is a NumPy array; pass ingot.from_numpy(...) of it")
            elif isinstance(x, _STATIC):
                key.append((type(x), x))
            else:
                key.append(_hashable(x))
        return tuple(numbers), tuple(key)

    def _static_leaves(self, structure: Any) -> frozenset[int]:
        if not self._static:
            return frozenset()
        found: list[int] = []
        at = 0
        (_, args, kwargs) = structure
        for i, s in enumerate(args[1:]):
            n = _count(s)
            if i in self._static:
                found += range(at, at + n)
            at += n
        for name, s in zip(kwargs[1], kwargs[2:]):
            n = _count(s)
            if name in self._static:
                found += range(at, at + n)
            at += n
        return frozenset(found)

    # ---- compiling

    def _specialize(self, key: Any, structure: Any, leaves: list[Any], numbers: Sequence[int], reason: str | None) -> Specialization:
        again = bool(self._specs)
        names = leaf_names(self.__wrapped__, structure)
        if again:
            reason = reason or self._difference(key, names)
        try:
            with frozen_by_default(self.mode == "frozen" and again):
                spec, guards = specialize(self.name, self.__wrapped__, structure, leaves, numbers, names=names)
        except FrozenError as e:
            raise FrozenError(f"{self.name}: {reason}; {e}" if again else str(e), e.key) from None
        self.stats["traces"] += 1
        if again:
            self.stats["recompiles"] += 1
            self._count(str(reason))
            log.log("recompiles", "%s is compiled again: %s", self.name, reason)
        self._specs.setdefault(key, []).insert(0, (spec, guards))
        total = sum(map(len, self._specs.values()))
        if total > _LIMIT:
            oldest = next(iter(self._specs))
            self._specs[oldest].pop()
            if not self._specs[oldest]:
                del self._specs[oldest]
        return spec

    def _count(self, reason: str) -> None:
        """Count a recompile by its reason; beyond a number of reasons, as one of the others."""
        if reason not in self.recompiles and len(self.recompiles) >= _LIMIT:
            reason = "other reasons"
        self.recompiles[reason] += 1
        RECOMPILES[self.name] += 1

    def _difference(self, key: Any, names: Sequence[str]) -> str:
        """How the arguments differ from those of the latest specialisation."""
        known = list(self._specs)[-1]
        if key[0] != known[0]:
            return "the arguments have another structure"
        for what, a, b in zip(("", "grad mode", "the default dtype"), key[:3], known[:3]):
            if what and a != b:
                return f"{what} is {a}, it was {b}"
        for i, (a, b) in enumerate(zip(key[3:], known[3:])):
            if a == b:
                continue
            if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == 6 and len(b) == 6:
                if a[0] != b[0]:
                    return f"argument {names[i]} is {a[0]}, it was {b[0]}"
                if a[2] != b[2]:
                    now, before = ("requires", "did not") if a[2] else ("does not require", "did")
                    return f"argument {names[i]} {now} gradients, before it {before}"
                if a[3] != b[3] or a[4] != b[4]:
                    return f"argument {names[i]} shares memory with others in another way"
                return f"argument {names[i]} is a {a[1].__name__} of another kind"
            return f"argument {names[i]} is {_said(a)}, it was {_said(b)}"
        return "the arguments differ"

    def _check(self, spec: Specialization, structure: Any, leaves: list[Any], numbers: Sequence[int]) -> None:
        """INGOT_CHECK=capture: trace again, and compare."""
        again, _ = specialize(self.name, self.__wrapped__, structure, leaves, numbers)
        if again.graph.text != spec.graph.text:
            raise CaptureError(
                f"{self.name}: the function does something else than when it was compiled, and nothing that is watched has changed "
                "(INGOT_CHECK=capture). Pass what it depends on as an argument"
            )


def _miss(*args: Any) -> Any:
    return MISS


def _said(k: Any) -> str:
    if isinstance(k, tuple) and len(k) == 2:
        return repr(k[1])
    return "a float" if k is float else "a Tensor" if isinstance(k, tuple) else repr(k)


class _Identity:
    """Hashes and compares an object by identity, and keeps it alive."""

    __slots__ = ("x",)

    def __init__(self, x: Any):
        self.x = x

    def __hash__(self) -> int:
        return id(self.x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.x is self.x

    def __repr__(self) -> str:
        return f"{type(self.x).__name__} at {id(self.x):#x}"


def _hashable(x: Any) -> Any:
    """A key for a static argument: dtypes and slices by value, anything else by identity."""
    if isinstance(x, DType):
        return x
    return ("slice", repr(x)) if isinstance(x, slice) else _Identity(x)


def _count(structure: Any) -> int:
    if structure == "*":
        return 1
    return sum(map(_count, structure[2:] if named(structure[0]) else structure[1:]))


def _static_positions(fn: Callable, static: Sequence[str]) -> frozenset[Any]:
    if isinstance(static, str):
        static = (static,)
    if not static:
        return frozenset()
    names = list(inspect.signature(fn).parameters)
    for s in static:
        if s not in names:
            raise ValueError(f"static names {s!r}, which is no parameter of {getattr(fn, '__name__', fn)}: {', '.join(names)}")
    return frozenset(static) | frozenset(names.index(s) for s in static)


class CompiledModule:
    """A Module whose calls are compiled. Everything else (parameters, train(), state_dict(), attributes) is the Module's own."""

    _OWN = ("_orig_mod", "_compiled")

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
    dynamic: bool | None = None,
    backend: str | None = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """Compile a function, a bound method or a Module; also a decorator, with or without options.

    The first call with a new signature (structure, shapes and dtypes of the arguments) traces the function and compiles one
    native function; later calls run it. Tensors that the function reads and that are not arguments are captured by reference:
    parameters, buffers, gradients and optimizer state are read and written where they are, so a whole training step can be
    compiled and behaves as it does eagerly. Python floats among the arguments are run-time numbers; ints, bools and strings are
    static, and so are the parameters named in `static`.

    mode="frozen": after the first signature nothing more is compiled: another one is served if the cache holds its code, else
    there is a FrozenError that names the argument and the difference. `ingot.frozen()` and INGOT_FROZEN=1 refuse the first too.

    torch's arguments are accepted: `disable=True` gives the function back; `fullgraph`, `dynamic`, torch's modes and the backend
    "inductor" ask for what is always so here (one graph, compiled once for each shape), or are hints that change no result.

    What the function looks at beside its arguments (attributes, globals, closures, settings) is watched; when it changes, the
    function is compiled again. What it looks at never does not count.

    Raises CaptureError, with the user's line, for what cannot be compiled: a branch on a tensor's value, printing one; and for what
    later calls would not do again: drawing Python's or NumPy's random numbers, taking an iterator's next item, seeding a generator,
    a scheduler's step. LeakedTensorError for a tensor that is kept after the call outside of attributes and dicts.

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
        return CompiledModule(fn, mode=mode)
    if isinstance(fn, CompiledFunction):
        fn = fn.__wrapped__
    return CompiledFunction(fn, mode, static)
