"""`scan`, `map` and `associative_scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.capture import flatten, unflatten
from ingot.control.tracing import Body, described, recorded, tensors, traced

__all__ = ["associative_scan", "map", "scan"]


def _along(name: str, xs: Any, dim: int) -> tuple[list[Tensor], Any, Any]:
    """The leaves of xs with `dim` in front, their structure, and the extent of `dim`."""
    leaves, structure = tensors(name, "xs", xs)
    if not leaves:
        raise RuntimeError(f"{name}: expected xs to hold at least one tensor")
    for x in leaves:
        if not -x.ndim <= dim < x.ndim:
            raise RuntimeError(f"{name}: all tensors of xs must have the dim {dim}, got shape {list(x.shape)}")
    lengths = [x.shape[dim] for x in leaves]  # compared, which a symbolic one can be; looked up in a set it would be a number for good
    if any(n != lengths[0] for n in lengths[1:]):
        raise RuntimeError(f"{name}: all tensors of xs must have the same extent along dim {dim}, got {sorted({int(n) for n in lengths})}")
    return [x.movedim(dim, 0) for x in leaves], structure, leaves[0].shape[dim]


def scan(combine_fn: Callable, init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> tuple[Any, Any]:
    """carry, y = combine_fn(carry, x) for each slice x of xs along `dim`: the last carry, and the ys stacked along `dim`.

    `init` is the first carry. `reverse`: from the last slice to the first; the ys keep the order of the xs. The carry keeps its structure,
    shapes and dtypes (RuntimeError). combine_fn is traced once, and may read tensors from outside; it runs as one compiled loop.
    Random numbers are others in each step.
    Differentiable: the steps' carries are kept for that.

    >>> ingot.scan(lambda c, x: (c + x, c * x), ingot.tensor(0.0), ingot.arange(4.0))
    (tensor(6.), tensor([0., 0., 2., 9.]))
    """
    carries, carry_kind = tensors("scan", "init", init)
    if not carries:
        raise RuntimeError("scan: expected init to hold at least one tensor")
    slices, x_kind, length = _along("scan", xs, dim)
    types = [t._present()._array.type for t in carries]
    kinds = (tuple, carry_kind, x_kind)
    body = traced("scan", lambda c, x: _pair("scan", combine_fn(c, x)), [*types, *_of_slices(slices)], kinds)
    returned, y_kind = body.structure[1:]
    if returned != carry_kind:
        raise RuntimeError("scan: combine_fn must return a carry of the structure of init")
    n = len(carries)
    if body.types[:n] != tuple([t.on(None) for t in types]):
        raise RuntimeError(
            f"scan: combine_fn must return a carry of the shapes and dtypes of init: {described(types)} came in, and "
            f"{described(body.types[:n])} was returned"
        )
    read = body.read
    attrs = (body.taking(read, first=True), len(read), n, length, reverse)
    made = recorded("scan", (*read, *carries, *slices, *_numbers(body, length)), attrs)
    return unflatten(carry_kind, made[:n]), unflatten(y_kind, [y.movedim(0, dim) for y in made[n:]])


def _numbers(body: Body, length: Any) -> list[Tensor]:
    """The numbers of the steps, where the body needs them."""
    if body.step is None:
        return []
    import ingot

    return [ingot.arange(length)]


def _of_slices(slices: Sequence[Tensor]) -> list[Any]:
    types = [x._present()._array.type for x in slices]
    return [t.with_shape(t.shape[1:]) for t in types]


def _pair(name: str, made: Any) -> tuple:
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise RuntimeError(f"{name}: combine_fn must return (carry, y), got {type(made).__name__}")
    return tuple(made)


def map(f: Callable, xs: Any, *args: Any) -> Any:
    """f(x, *args) for each slice x of xs along the first dim, one after the other: the results, stacked.

    f is traced once and runs as one compiled loop; `vmap` computes all slices at once. Differentiable.

    >>> ingot.map(lambda row, w: (row * w).sum(), ingot.ones(3, 2), ingot.tensor([1.0, 2.0]))
    tensor([3., 3., 3.])
    """
    slices, x_kind, length = _along("map", xs, 0)
    others, other_kind = tensors("map", "args", args)
    given = [t._present()._array.type for t in others]

    def one(x: Any, more: tuple) -> Any:
        return f(x, *more)

    body = traced("map", one, [*_of_slices(slices), *given], (tuple, x_kind, other_kind))
    if not body.types:
        raise RuntimeError("map: f must return at least one tensor")
    n = len(slices)
    consts = [*others, *body.read]
    looped = body.of((*body.arguments[n:], *body.captured, *body.arguments[:n]))
    inputs = (*consts, *slices, *_numbers(body, length))
    return unflatten(body.structure, recorded("scan", inputs, (looped, len(consts), 0, length, False)))


def associative_scan(combine_fn: Callable, xs: Any, dim: int = 0, reverse: bool = False, combine_mode: str = "pointwise") -> Any:
    """All prefixes of xs along `dim`, combined: y[0] = x[0], y[i] = combine_fn(y[i - 1], x[i]), for an associative combine_fn.

    combine_fn takes and gives slices of the structure, shapes and dtypes of those of xs (RuntimeError). It is applied to many pairs at a
    time, in about 2 log2(n) rounds. `reverse`: from the last to the first. combine_mode: "pointwise" or "generic", which are one here.
    Source: Blelloch, Prefix Sums and Their Applications (CMU-CS-90-190, 1990).

    >>> ingot.associative_scan(lambda a, b: a * b, ingot.tensor([1.0, 2.0, 3.0, 4.0]), 0)
    tensor([ 1.,  2.,  6., 24.])
    """
    import ingot

    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"associative_scan: combine_mode must be 'pointwise' or 'generic', got {combine_mode!r}")
    slices, structure, length = _along("associative_scan", xs, dim)
    if reverse:
        slices = [x.flip(0) for x in slices]

    def one(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[Tensor]:
        out: list[Any] = []
        kind = flatten(combine_fn(unflatten(structure, a), unflatten(structure, b)), out)
        wanted = [(x.dtype, tuple(x.shape)) for x in a]
        if kind != structure or [(o.dtype, tuple(o.shape)) for o in out] != wanted:
            got = [(o.dtype, tuple(o.shape)) if isinstance(o, Tensor) else type(o).__name__ for o in out]
            raise RuntimeError(f"associative_scan: combine_fn must return what it takes, {wanted}, got {got}")
        return out

    many = ingot.func.vmap(one)

    def prefixes(xs: list[Tensor], n: int) -> list[Tensor]:
        if n < 2:
            return xs
        pairs = many([x[0 : n - 1 : 2] for x in xs], [x[1:n:2] for x in xs])
        odd = prefixes(pairs, n // 2)
        ends = [x[2:n:2] for x in xs]
        even = many([y[: (n - 1) // 2] for y in odd], ends) if n > 2 else ends
        found = []
        for x, e, o in zip(xs, even, odd):
            first = ingot.cat([x[:1], e])
            both = ingot.stack([first[: n // 2], o], 1).reshape(2 * (n // 2), *x.shape[1:])
            found.append(ingot.cat([both, first[n // 2 :]]) if n % 2 else both)
        return found

    made = prefixes(slices, int(length))
    return unflatten(structure, [(y.flip(0) if reverse else y).movedim(0, dim) for y in made])
