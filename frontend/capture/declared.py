"""What users say about sizes: `Dim`, `dims`, `mark_dynamic`, `mark_static`, and `dynamic_shapes` in the forms of torch.export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, ClassVar

from ingot._tensor import Tensor
from ingot.capture.attached import MARK
from ingot.capture.pytree import LEAF, named
from ingot.ir import size
from ingot.ir.size import replaced, symbol

__all__ = ["Declared", "Dim", "dims", "mark_dynamic", "mark_static", "marks"]



class _Hint:
    """How a dim is found out, where no name is given: see `Dim`."""

    def __init__(self, text: str, asked: bool | None, min: int | None = None, max: int | None = None):
        self._text = text
        self.asked = asked
        self.min = min
        self.max = max

    def __call__(self, min: int | None = None, max: int | None = None) -> _Hint:
        """The same within bounds."""
        return _Hint(self._text, self.asked, min, max)

    def __repr__(self) -> str:
        return self._text


class Dim:
    """A size that is known at run time only, by name: dims with one name have one size. `2 * d`, `d + 1` and the like are sizes, too.

    min, max: bounds, both included; at least 1 unless `min` says 0. `Dim.DYNAMIC` is a size without a name; `Dim.AUTO` one that may turn
    out to be constant; `Dim.STATIC` none. The source is torch.export.Dim.

    ValueError for bounds that leave nothing, TypeError for a name that is no identifier.

    >>> batch = ingot.Dim("batch", max=64)
    >>> batch, 2 * batch + 1
    (Dim('batch', min=1, max=64), Dim('2*batch+1'))
    """

    AUTO: ClassVar[_Hint] = _Hint("Dim.AUTO", None)
    DYNAMIC: ClassVar[_Hint] = _Hint("Dim.DYNAMIC", True)
    STATIC: ClassVar[_Hint] = _Hint("Dim.STATIC", False)

    __slots__ = ("size", "names")

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None):
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name) or name in ("min", "max"):
            raise TypeError(f"the name of a Dim is an identifier, not {name!r}")
        low, high = 1 if min is None else min, inf if max is None else max
        if not isinstance(low, int) or low < 0 or high < low:
            raise ValueError(f"Dim {name!r} has no size that is at least {min} and at most {max}")
        self.size: Any = symbol(name, low, high)
        self.names: tuple[str, ...] = (name,)

    def _with(self, made: Any) -> Dim:
        out = Dim.__new__(Dim)
        out.size, out.names = made, self.names
        return out

    def __add__(self, other: int) -> Dim:
        return self._with(self.size + other) if isinstance(other, int) else NotImplemented

    def __sub__(self, other: int) -> Dim:
        return self._with(self.size - other) if isinstance(other, int) else NotImplemented

    def __mul__(self, other: int) -> Dim:
        return self._with(self.size * other) if isinstance(other, int) and other > 0 else NotImplemented

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        s = size.as_symbol(self.size)
        if s is None:
            return f"Dim({str(self.size)!r})"
        return f"Dim({s.name!r}, min={s.min}" + (f", max={s.max})" if s.max != inf else ")")

    def dim(self, n: int, where: str, values: dict[str, int]) -> Any:
        """The size, which is `n` in an example; `values` of symbols take its own in. ValueError where `n` is none that it may be."""
        found = size.symbols(self.size)
        if found:
            (s,) = found
            rest: Any = replaced(self.size, {s.name: 0})
            factor: Any = replaced(self.size, {s.name: 1}) - rest
            v, left = divmod(n - rest, factor)
            if left or not s.min <= v <= s.max:
                raise ValueError(f"{where} is {n}, which {self!r} cannot be")
            if values.setdefault(s.name, v) != v:
                raise ValueError(f"{where} is {n}, where {s.name} was {values[s.name]} elsewhere")
        elif n != self.size:
            raise ValueError(f"{where} is {n}, which {self!r} cannot be")
        return self.size


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """A Dim of each name, with these bounds.

    >>> ingot.dims("batch", "time", max=512)
    (Dim('batch', min=1, max=512), Dim('time', min=1, max=512))
    """
    return tuple(Dim(n, min=min, max=max) for n in names)


def mark_dynamic(x: Tensor, dim: int | Sequence[int], *, min: int | None = None, max: int | None = None) -> None:
    """Have compiled functions take a dim of `x` (or several) as a symbol at the first call that is compiled for it.

    IndexError for a dim that is none. The source is torch._dynamo.mark_dynamic.

    >>> x = ingot.ones(5, 3)
    >>> ingot.mark_dynamic(x, 0)
    >>> f = ingot.compile(lambda x: x * 2)
    >>> [f(ingot.ones(n, 3)).sum().item() for n in (5, 7, 9)]
    [30.0, 42.0, 54.0]
    """
    _mark(x, dim, True if min is None and max is None else _Bounded(min, max))


def mark_static(x: Tensor, dim: int | Sequence[int] | None = None) -> None:
    """Have compiled functions take a dim of `x` (several, or all) as a constant, whatever sizes come. IndexError for a dim that is none."""
    _mark(x, range(x.ndim) if dim is None else dim, False)


def _mark(x: Tensor, dim: Any, what: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"a dim of a Tensor is marked, not of {type(x).__name__}")
    for d in dim if isinstance(dim, (tuple, list, range, set)) else (dim,):
        x.size(d)
        x.__dict__.setdefault(MARK, {})[d % x.ndim] = what


class _Bounded:
    """A symbol of its own, with bounds."""

    names = ()

    def __init__(self, min: int | None, max: int | None):
        self.bounds = (1 if min is None else min, inf if max is None else max)

    def dim(self, n: int, where: str, values: dict[str, int]) -> Any:
        """See Dim."""
        low, high = self.bounds
        if not low <= n <= high:
            raise ValueError(f"{where} is {n}, and was marked to be at least {low} and at most {high}")
        name = f"m{sum(k.startswith('m') for k in values)}"
        values[name] = n
        return symbol(name, low, high)


def marks(x: Tensor) -> Mapping[int, Any]:
    """What was marked of a tensor, by dim: True, False or a symbol with bounds."""
    return vars(x).get(MARK, {})


class Declared:
    """`dynamic_shapes` as torch.export takes them, by the names of argument leaves and their dims.

    rest: the name of the parameter that takes more arguments than `parameters` name, if there is one
    ValueError for an argument that there is none of, or a form that does not fit the argument.
    """

    def __init__(self, spec: Any, parameters: Sequence[str], rest: str | None = None):
        self._parameters = list(parameters)
        if isinstance(spec, Mapping) and rest in spec:  # as a tuple, in torch's words
            more = spec[rest]
            spec = {**{k: v for k, v in spec.items() if k != rest}, **{f"{rest}[{i}]": v for i, v in enumerate(more or ())}}
        self._rest = rest
        if rest is not None:
            most = max((len(spec) if isinstance(spec, (tuple, list)) else 0) - len(self._parameters), 0)
            known = [k for k in spec if k not in self._parameters] if isinstance(spec, Mapping) else range(most)
            self._parameters += [f"{rest}[{i}]" for i in range(len(known))]
        if isinstance(spec, (tuple, list)):
            if len(spec) > len(self._parameters):
                raise ValueError(f"dynamic_shapes is for {len(spec)} arguments, there are {len(self._parameters)}")
            spec = dict(zip(self._parameters, spec))
        if not isinstance(spec, Mapping):
            raise ValueError(f"dynamic_shapes is a dict, tuple or list of what each argument is, not {type(spec).__name__}")
        unknown = [k for k in spec if k not in self._parameters]
        if unknown and self._parameters:
            raise ValueError(f"dynamic_shapes names {unknown[0]!r}, which is no argument: {', '.join(self._parameters)}")
        self._spec = dict(spec)
        self._known: dict[tuple[str, int], Any] = {}

    def bind(self, structure: Any, leaves: Sequence[Any], names: Sequence[str]) -> None:
        """Find what belongs to each leaf of a call's arguments `(args, kwargs)`. ValueError where the form does not fit."""
        _, args, kwargs, *_ = structure
        self._known = {}
        at = 0
        given = [(self._parameters[i] if i < len(self._parameters) else "", s) for i, s in enumerate(args[1:])]
        for name, s in (*given, *zip(kwargs[1], kwargs[2:])):
            at = self._below(self._spec.get(name), s, leaves, names, at)

    def _below(self, spec: Any, s: Any, leaves: Sequence[Any], names: Sequence[str], at: int) -> int:
        if s == LEAF:
            self._leaf(spec, leaves[at], names[at])
            return at + 1
        parts = list(zip(s[1], s[2:])) if named(s[0]) else list(enumerate(s[1:]))
        if spec is not None and not (isinstance(spec, Mapping) or (isinstance(spec, (tuple, list)) and len(spec) == len(parts))):
            raise ValueError(f"dynamic_shapes does not have the form of the argument at {names[at] if at < len(names) else 'the end'}")
        for key, part in parts:
            inner = None if spec is None else spec.get(key) if isinstance(spec, Mapping) else spec[list(dict(parts)).index(key)]
            at = self._below(inner, part, leaves, names, at)
        return at

    def _leaf(self, spec: Any, leaf: Any, name: str) -> None:
        if spec is None or not isinstance(leaf, Tensor):
            return
        if isinstance(spec, (tuple, list)):
            if len(spec) != leaf.ndim:
                raise ValueError(f"dynamic_shapes has {len(spec)} dims for {name}, which has {leaf.ndim}")
            spec = dict(enumerate(spec))
        if not isinstance(spec, Mapping):
            raise ValueError(f"dynamic_shapes of {name} is a dict by dim, or a tuple or list of what each dim is, not {spec!r}")
        for d, what in spec.items():
            if not isinstance(d, int) or not -leaf.ndim <= d < leaf.ndim:
                raise ValueError(f"dynamic_shapes names dim {d!r} of {name}, which has {leaf.ndim} dims")
            n = leaf._array.type.shape[d]
            if isinstance(what, int) and what != n:
                raise ValueError(f"{name}.shape[{d}] is {n}, and dynamic_shapes says {what}")
            if not (what is None or isinstance(what, (int, Dim, _Hint))):
                raise ValueError(f"dynamic_shapes of {name}.shape[{d}] is a Dim, None or its size, not {what!r}")
            self._known[name, d % leaf.ndim] = _asked(what)

    def at(self, name: str, d: int) -> Any:
        """What was asked for dim `d` of the leaf called `name`: a Dim, True, or False."""
        return self._known.get((name, d), False)


def _asked(what: Any) -> Any:
    if isinstance(what, _Hint):
        return what.asked if what.asked is False or (what.min is None and what.max is None) else _Bounded(what.min, what.max)
    return what if isinstance(what, Dim) else False
