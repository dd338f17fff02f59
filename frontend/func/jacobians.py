"""`jacrev`, `jacfwd` and `hessian`: all rows, or all columns, of a derivative at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ingot._tensor import Tensor
from ingot.capture import flatten, unflatten
from ingot.func.batching import vmap
from ingot.func.forward import checked_tangents, pushed
from ingot.func.pulling import Pulled
from ingot.func.trees import basis, chosen, jacobian_tree, replaced

__all__ = ["hessian", "jacfwd", "jacrev"]


def jacrev(
    func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """A function that gives the Jacobian of `func` by its arguments `argnums`, a row per element of the output: one backward over all rows.

    For each output and each argument a tensor of shape output.shape + argument.shape, nested as they are. chunk_size: at most so many
    rows at a time. With `has_aux`, (Jacobian, aux).

    >>> ingot.func.jacrev(ingot.sin)(ingot.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        which = chosen("jacrev", argnums, args)
        pulled = Pulled("jacrev", func, args, which, kwargs, has_aux)
        if not pulled.outs:
            raise RuntimeError("jacrev: expected f to return at least one Tensor")

        def rows(*seeds: Tensor) -> tuple[Tensor, ...]:
            return tuple(pulled.back(seeds))

        found = vmap(rows, chunk_size=chunk_size)(*basis(pulled.outs))
        found = [pulled.final(f) for f in found]
        table = jacobian_tree(pulled.outs, pulled.leaves, found)
        per_output = [unflatten(pulled.structure, row) for row in table]
        if isinstance(argnums, int):
            per_output = [p[0] for p in per_output]
        jacobian = unflatten(pulled.out_structure, per_output)
        return (jacobian, pulled.aux) if has_aux else jacobian

    return wrapped


def jacfwd(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func` by its arguments `argnums`, a column per element of them: one pass with all tangents.

    Shapes and structure are those of `jacrev`, which is cheaper where the output has fewer elements than the arguments.
    `randomness` is that of `vmap`.

    >>> ingot.func.jacfwd(ingot.sin)(ingot.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        which = chosen("jacfwd", argnums, args)
        some = tuple(args[i] for i in which)
        leaves, _, structure = checked_tangents("jacfwd", some, some)
        made: list[Any] = []

        def column(*tangents: Tensor) -> tuple[Any, ...]:
            outs = pushed(
                func, None, leaves, list(tangents), structure, False, has_aux, kwargs, lambda duals: replaced(args, which, duals)
            )
            flat, aux = list[Any](), list[Any]()
            kind = flatten(outs[1], flat)
            aux_kind = flatten(outs[2], aux) if has_aux else None
            made[:] = kind, aux_kind, [None if isinstance(x, Tensor) else x for x in aux]
            return tuple(flat), tuple(x for x in aux if isinstance(x, Tensor))

        found, rest = vmap(column, out_dims=(0, None), randomness=randomness)(*basis(leaves))
        kind, aux_kind, aux = made
        per_output = [unflatten(structure, row) for row in jacobian_tree(None, leaves, found)]
        if isinstance(argnums, int):
            per_output = [p[0] for p in per_output]
        jacobian = unflatten(kind, per_output)
        if not has_aux:
            return jacobian
        left = iter(rest)
        return jacobian, unflatten(aux_kind, [next(left) if x is None else x for x in aux])

    return wrapped


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that gives the Hessian of `func` by its arguments `argnums`: `jacfwd(jacrev(func, argnums), argnums)`.

    >>> ingot.func.hessian(lambda x: (x**3).sum())(ingot.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
